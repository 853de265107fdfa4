"""Many files: which are taken, where results go, what is said of those that cannot be read."""

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from foreign_masks import blobs
from PIL import Image

import skeletonize
from canet.core.console import UserError
from canet.core.images import Unreadable, read_grey
from canet.skeletons import folder
from canet.skeletons.formats import FILES
from canet.skeletons.read import read_pages

BAR = np.zeros((40, 60), np.uint8)
BAR[15:25, 10:50] = 255


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the script in a folder of its own; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["skeletonize", *map(str, words)])
        try:
            skeletonize.main()
            code = 0
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return call


def save(path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def rows_of(out) -> pd.DataFrame:
    return pd.read_csv(out / "summary.csv", keep_default_na=False).set_index("image")


@pytest.mark.parametrize("kind", ["png", "tif", "tiff", "bmp", "gif", "webp", "PNG"])
def test_every_format_gives_the_same(run, tmp_path, kind):
    Image.fromarray(BAR).save(
        tmp_path / f"bar.{kind}", **({"lossless": True} if kind == "webp" else {})
    )
    assert run(f"bar.{kind}")[0] == 0
    found = read_grey(tmp_path / "skeletons/bar/skeleton.png") > 0
    np.save(tmp_path / "same.npy", BAR)
    run("same.npy")
    assert found.sum() > 20 and (read_grey(tmp_path / "skeletons/same/skeleton.png") > 0).sum() > 20
    assert (found == (read_grey(tmp_path / "skeletons/same/skeleton.png") > 0)).all()


def test_jpeg_is_cut_at_half_and_said(run, tmp_path):
    Image.fromarray(cv2.GaussianBlur(BAR, (0, 0), 1)).save(tmp_path / "bar.jpg", quality=60)
    code, said = run("bar.jpg")
    assert code == 0 and "grey levels: cut at 127.5" in said
    assert "grey levels" in rows_of(tmp_path / "skeletons").loc["bar", "warnings"]


def test_sub_folders_are_kept_and_clashing_names_told_apart(run, tmp_path):
    for name in ("a.png", "a.bmp", "deep/er/a.png", "deep/b.gif"):
        save(tmp_path / "in" / name, BAR)
    (tmp_path / "in/notes.txt").write_text("no image")
    code, said = run("in", "--out", "in/out")
    assert code == 0 and "notes.txt: no image, left alone" in said
    names = ["a.bmp", "a.png", "deep/b", "deep/er/a"]
    assert sorted(rows_of(tmp_path / "in/out").index) == names
    assert all((tmp_path / "in/out" / n / "skeleton.png").is_file() for n in names)
    assert run("in", "--out", "in/out")[0] == 0  # what was written is not read
    assert sorted(rows_of(tmp_path / "in/out").index) == names


def test_globs_and_equal_names_in_two_folders(run, tmp_path):
    for name in ("one/a.png", "two/a.png", "two/b.png"):
        save(tmp_path / name, BAR)
    run("*/a.png")
    assert sorted(rows_of(tmp_path / "skeletons").index) == ["one/a", "two/a"]
    run("one", "two", "two/b.png")
    assert sorted(rows_of(tmp_path / "skeletons").index) == ["b", "one/a", "two/a"]


def test_no_two_images_share_a_folder(run, tmp_path):
    for name in ("a.png", "a.bmp", "a.png.png", "summary.csv.png", "B.png", "b.gif"):
        save(tmp_path / "in" / name, BAR)
    assert run("in")[0] == 0
    names = {"a.png", "a.bmp", "a.png.png", "summary.csv.png", "B.png", "b.gif"}
    assert set(rows_of(tmp_path / "skeletons").index) == names
    assert all((tmp_path / "skeletons" / n / "skeleton.png").is_file() for n in names)


def test_images_that_are_called_as_results(run, tmp_path):
    for name in ("a.png", "a/skeleton.png.png", "a/Nodes.csv.png", "a/skeleton.png"):
        save(tmp_path / "in" / name, BAR)
    assert run("in", "--formats", "png,csv")[0] == 0
    names = {"a", "a/skeleton.png.png", "a/Nodes.csv.png", "a/skeleton"}
    assert set(rows_of(tmp_path / "skeletons").index) == names


def test_a_page_and_an_image_that_is_called_as_one(run, tmp_path):
    first, second = Image.fromarray(BAR), Image.fromarray(BAR[::-1, :30].copy())
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    save(tmp_path / "stack/page-002.png", BAR)
    assert run(".")[0] == 0
    assert len(list((tmp_path / "skeletons").rglob("skeleton.png"))) == 3


def test_globs_do_not_find_earlier_results(run, tmp_path):
    save(tmp_path / "a.png", BAR)
    for _ in range(2):
        assert run("**/*.png")[0] == 0 and run("*", "--out", "lines")[0] == 0
        assert list(rows_of(tmp_path / "lines").index) == ["a", "skeletons/a/skeleton"]
        (tmp_path / "lines").rename(tmp_path / "other")
        assert list(rows_of(tmp_path / "skeletons").index) == ["a"]
        shutil.rmtree(tmp_path / "other")
    with pytest.raises(UserError, match="found nothing; expected images"):
        run("skeletons/**/*.png")
    assert run("skeletons/a/skeleton.png", "--out", "again")[0] == 0  # what is named is taken


def test_names_that_differ_in_capitals_alone(run, tmp_path):
    names = {"in/A.png", "in/a.png", "in/Deep/b.png", "in/deep/b.png"}
    for name in names:
        save(tmp_path / name, BAR)
    if len(list((tmp_path / "in").rglob("*.png"))) < 4:
        pytest.skip("the file system takes them for one")
    assert run("in")[0] == 0
    assert set(rows_of(tmp_path / "skeletons").index) == {"A", "a", "Deep/b", "deep/b"}


def test_nothing_is_written_outside(run, tmp_path, monkeypatch):
    for name in ("b.png", "inner/b.png"):
        save(tmp_path / name, BAR)
    monkeypatch.chdir(tmp_path / "inner")
    assert run("b.png", "../b.png")[0] == 0
    names = set(rows_of(tmp_path / "inner/skeletons").index)
    assert names == {"inner/b", f"{tmp_path.name}/b"} and not (tmp_path / "b").exists()


def test_the_root_is_part_of_no_name():
    found = {Path("/a.png"): "a.png", Path("/data/a.png"): "a.png"}
    assert [source.name for source in folder._named(found)] == ["a", "data/a"]


def test_globs_keep_the_folders_behind_their_wildcards(run, tmp_path):
    for name in ("in/sub/a.png", "in/sub/deep/b.png", "in/other/c.png"):
        save(tmp_path / name, BAR)
    run("in/sub*/**/*.png")
    assert sorted(rows_of(tmp_path / "skeletons").index) == ["sub/a", "sub/deep/b"]


def test_links_that_lead_nowhere_are_named(run, tmp_path):
    save(tmp_path / "in/a.png", BAR)
    (tmp_path / "in/b.png").symlink_to("nowhere.png")
    code, said = run("in")
    assert code == 1 and "error: in/b.png: does not exist" in said


def test_a_channel_of_one_and_float_colours_are_no_pages(run, tmp_path):
    np.save(tmp_path / "one.npy", BAR[..., None])
    np.save(tmp_path / "colour.npy", np.repeat((BAR / 255)[..., None], 3, 2))
    assert run("one.npy", "colour.npy")[0] == 0
    table = rows_of(tmp_path / "skeletons")
    assert table["area"].tolist() == [400, 400] and (table["page"] == "").all()


def test_what_is_interrupted_keeps_what_is_done(run, tmp_path, monkeypatch, capsys):
    for name in "abc":
        save(tmp_path / f"in/{name}.png", BAR)
    ended, work = [], folder._skeletonize_file

    def interrupted(source, **given):
        if source.name == "b":
            raise KeyboardInterrupt
        return work(source, **given)

    monkeypatch.setattr(folder, "_skeletonize_file", interrupted)
    monkeypatch.setattr(folder.os, "_exit", lambda code: ended.append(code))
    run("in")
    assert ended == [1] and list(rows_of(tmp_path / "skeletons").index) == ["a"]


def test_what_cannot_be_read_is_named_and_the_rest_is_done(run, tmp_path):
    save(tmp_path / "in/good.png", BAR)
    Image.fromarray(BAR).save(tmp_path / "in/photo.jpg")
    os.rename(tmp_path / "in/photo.jpg", tmp_path / "in/photo.png")
    (tmp_path / "in/._good.png").write_bytes(b"\0\5\x16\7 Mac OS X")
    (tmp_path / "in/none.tif").write_bytes(b"")
    whole = (tmp_path / "in/good.png").read_bytes()
    (tmp_path / "in/cut.png").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "in/words.npy", np.array([["a"]]))
    np.save(tmp_path / "in/objects.npy", np.array([{}]), allow_pickle=True)
    code, said = run("in")
    assert code == 1 and list(rows_of(tmp_path / "skeletons").index) == ["good"]
    for line in (
        "error: in/photo.png: is a JPEG with the name of a PNG; rename it",
        "error: in/none.tif: is empty",
        "error: in/cut.png: is damaged",
        "error: in/words.npy: is an array of <U1",
        "error: in/objects.npy: is damaged",
    ):
        assert line in said


def test_empty_in_empty_out(run, tmp_path):
    save(tmp_path / "empty.png", BAR * 0)
    every = "png,overlay,svg,csv,graphml,geojson,swc"
    assert run("empty.png", "--formats", every)[0] == 0
    out = tmp_path / "skeletons/empty"
    assert {path.name for path in out.iterdir()} == FILES
    assert not read_grey(out / "skeleton.png").any()
    row = rows_of(tmp_path / "skeletons").loc["empty"]
    assert row["length"] == row["branches"] == row["skeletons"] == row["largest-width"] == 0


def test_pages_of_a_tiff_and_of_an_array(run, tmp_path):
    pages = [Image.fromarray(BAR), Image.fromarray(BAR.T.copy()), Image.fromarray(BAR * 0)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    np.save(tmp_path / "array.npy", np.stack([BAR, BAR[:, ::-1]]))
    assert run("stack.tif", "array.npy")[0] == 0
    table = rows_of(tmp_path / "skeletons")
    assert table.loc["stack", "page"].tolist() == [1, 2, 3]
    assert table.loc["stack", "height"].tolist() == [40, 60, 40]
    assert read_grey(tmp_path / "skeletons/stack/page-002/skeleton.png").shape == (60, 40)
    assert (tmp_path / "skeletons/array/page-002/skeleton.png").is_file()


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])  # read by Pillow, by tifffile
@pytest.mark.parametrize("count", [1, 2])
def test_overviews_and_masks_are_no_pages(tmp_path, dtype, count):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(count):
            for step, kind in ((1, 0), (2, 1), (4, 1), (1, 4)):
                page = (BAR[::step, ::step] > 0).astype(dtype if kind < 4 else bool)
                file.write(page, subfiletype=kind)
    tifffile.imwrite(tmp_path / "alone.tif", BAR.astype(dtype), subfiletype=1)
    pages = [*read_pages(tmp_path / "a.tif"), *read_pages(tmp_path / "alone.tif")]
    assert [page.number for page in pages] == [*([0] if count == 1 else [1, 2]), 0]
    assert all(((page.grey > 0) == (BAR > 0)).all() for page in pages)


@pytest.mark.parametrize("order", "<>")
def test_sixteen_bits_in_either_order_of_bytes(tmp_path, order):
    levels = np.zeros((40, 60), np.uint16)
    levels[10:30, 5:30], levels[10:30, 30:55] = 3000, 60000
    tifffile.imwrite(tmp_path / "deep.tif", levels, byteorder=order)
    (page,) = read_pages(tmp_path / "deep.tif")
    assert np.array_equal(page.grey, levels)


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_photographs_are_turned_as_their_orientation_says(tmp_path, kind):
    upright = Image.fromarray(BAR)
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned to the left
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    options = {"quality": 100} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}
    lying.save(tmp_path / f"a.{kind}", exif=exif, **options)
    (page,) = read_pages(tmp_path / f"a.{kind}")
    assert page.grey.shape == BAR.shape and ((page.grey > 127) == (BAR > 127)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint32, np.int8])
def test_tiffs_of_numbers_that_pillow_has_no_mode_for(tmp_path, dtype):
    stack = np.stack([BAR > 0, BAR > 0]).astype(dtype)
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    tifffile.imwrite(tmp_path / "one.tif", stack[0])
    pages = [*read_pages(tmp_path / "stack.tif"), *read_pages(tmp_path / "one.tif")]
    assert [page.number for page in pages] == [1, 2, 0]
    assert all((page.grey == stack[0]).all() for page in pages)
    content = (tmp_path / "one.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(Unreadable, match="damaged"):
        list(read_pages(tmp_path / "cut.tif"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32])
def test_colours_one_after_the_other_are_those_side_by_side(tmp_path, dtype):
    colours = np.stack([BAR, BAR // 2, BAR // 5]).astype(dtype) * dtype(100)
    for name, config in (("a", "separate"), ("b", "contig")):
        array = colours if name == "a" else np.moveaxis(colours, 0, -1)
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="rgb", planarconfig=config)
    np.save(tmp_path / "c.npy", np.moveaxis(colours, 0, -1))
    pages = [page for name in ("a.tif", "b.tif", "c.npy") for page in read_pages(tmp_path / name)]
    masks = [page.grey > page.grey.max() / 2 for page in pages]
    assert [page.number for page in pages] == [0, 0, 0]
    assert all((mask == (BAR > 0)).all() for mask in masks)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_white_is_high_also_where_it_is_stored_as_0(tmp_path, dtype, order):
    levels = np.where(BAR, np.iinfo(dtype).max, 0).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", ~levels, photometric="miniswhite", byteorder=order)
    (page,) = read_pages(tmp_path / "a.tif")
    assert (page.grey == levels).all()


def test_colours_that_are_not_read_are_no_damage(tmp_path):
    Image.new("LAB", (60, 40)).save(tmp_path / "lab.tif")
    with pytest.raises(Unreadable, match="has CIELAB colours, which are not read; export it in"):
        list(read_pages(tmp_path / "lab.tif"))


@pytest.mark.parametrize("rest", [b"", b"\0\0\0\0\0", b"\x08\0\0\0" + b"\0" * 40])
def test_a_tiff_without_pages_is_named(run, tmp_path, rest):
    (tmp_path / "cut.tif").write_bytes(b"II*\0" + rest)
    code, said = run("cut.tif")
    assert code == 1 and "error: cut.tif: is " in said
    assert list(pd.read_csv(tmp_path / "skeletons/summary.csv").columns) == ["image", "page"]


def test_a_compression_that_is_not_read_is_no_damage(tmp_path):
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((8, 8)))
    with tifffile.TiffFile(plain) as file:
        at = file.pages[0].tags["Compression"].valueoffset
    content = bytearray(plain.read_bytes())
    content[at : at + 2] = (5).to_bytes(2, "little")  # LZW
    plain.write_bytes(content)
    with pytest.raises(Unreadable, match="has a compression that is not read; export it without"):
        list(read_pages(plain))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_damaged_exif_is_no_damage_of_the_picture(tmp_path, kind):
    odd = b"Exif\0\0MM\0*\0\0\0\x08\0\2\1\x12\0\3\0\0\0\1\0\6\0\0\1\2\0\4\0\0\0\1\0\1\0\0"
    for name, exif in {"odd": odd + b"\0" * 4, "none": b"Exif\0\0rubbish"}.items():
        path = tmp_path / f"{name}.{kind}"
        Image.fromarray(BAR).save(path, exif=exif)
        (page,) = read_pages(path)
        upright = BAR.T if name == "odd" else BAR
        assert page.grey.shape == upright.shape


def test_weights_that_are_not_there_are_no_fault_of_the_images(run, tmp_path):
    save(tmp_path / "a.png", BAR)
    with pytest.raises(UserError, match="no run nosuch; trained runs"):
        run("a.png", "--method", "canet", "--weights", "nosuch")
    assert not (tmp_path / "skeletons").exists()


def test_an_image_beyond_pillows_limit_is_too_large_and_not_damaged(tmp_path, monkeypatch):
    save(tmp_path / "huge.png", BAR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", BAR.size // 3)
    with pytest.raises(Unreadable, match="has more than 67,108,864 pixels; make it smaller"):
        list(read_pages(tmp_path / "huge.png"))


def test_deep_labels_and_palettes(run, tmp_path):
    labels = np.zeros((40, 60), np.uint16)
    labels[10:30, 5:30], labels[10:30, 30:55] = 300, 4000
    Image.fromarray(labels).save(tmp_path / "deep.tif")
    indexed = Image.fromarray((labels > 0).astype(np.uint8) + (labels > 300))
    indexed.putpalette([0, 0, 0, 0, 0, 0, 255, 255, 255])  # two of the three look alike
    indexed.save(tmp_path / "indexed.png")
    assert run("deep.tif", "indexed.png", "--labels")[0] == 0
    assert rows_of(tmp_path / "skeletons")["objects"].tolist() == [2, 2]
    Image.fromarray(labels.astype(np.float32) / 4000).save(tmp_path / "chance.tif")
    assert run("chance.tif")[0] == 0


def test_what_is_clear_is_no_label(run, tmp_path):
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 5:30], labels[10:30, 30:55] = 1, 200
    alpha = np.full_like(labels, 255)
    alpha[10:30, 30:32] = 0
    alpha[10:30, 32:40] = 100  # half clear: not another number
    colours = np.stack([labels, labels, labels, alpha], 2)
    Image.fromarray(np.stack([labels, alpha], 2)).save(tmp_path / "grey.png")
    Image.fromarray(colours).save(tmp_path / "colours.png")
    Image.fromarray(labels).save(tmp_path / "level.png", transparency=200)
    indexed = Image.fromarray(labels)
    indexed.putpalette(np.arange(256).repeat(3).astype(np.uint8).tobytes())
    indexed.save(tmp_path / "palette.png", transparency=200)
    for name, wanted in (("grey", 960), ("colours", 960), ("level", 500), ("palette", 500)):
        assert run(f"{name}.png", "--labels")[0] == 0
        row = rows_of(tmp_path / "skeletons").loc[name]
        assert row["area"] == wanted and row["objects"] == 1 + (wanted == 960)


def test_frames_of_an_animation_have_the_same_labels(tmp_path):
    frames = [np.zeros((40, 60, 3), np.uint8) for _ in range(3)]
    for k, frame in enumerate(frames):
        frame[10:30, 5 + k : 25], frame[10:30, 25 : 50 - k] = (9, 0, 0), (0, 7, 3)
    first, *rest = map(Image.fromarray, frames)
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    for page in read_pages(tmp_path / "a.gif", "labels"):
        assert set(np.unique(page.grey)) == {0, 9 << 16, (7 << 8) + 3}
    Image.fromarray(BAR).save(tmp_path / "still.gif")
    (page,) = read_pages(tmp_path / "still.gif", "labels")
    assert page.number == 0 and page.grey.ndim == 2


def test_a_phones_jpeg_is_its_first_picture(run, tmp_path):
    picture, preview = Image.fromarray(BAR), Image.fromarray(BAR[::2, ::2].copy())
    picture.save(tmp_path / "phone.mpo", save_all=True, append_images=[preview])
    os.rename(tmp_path / "phone.mpo", tmp_path / "phone.jpg")
    assert run("phone.jpg")[0] == 0
    assert rows_of(tmp_path / "skeletons").loc["phone", ["width", "page"]].tolist() == [60, ""]


def test_what_needs_too_much_memory_is_named(run, tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / name, BAR if name != "b.png" else BAR.T.copy())

    def skeleton_of(grey, *rest, whole=folder.skeleton_of):
        if grey.shape == (60, 40):
            raise MemoryError
        return whole(grey, *rest)

    monkeypatch.setattr(folder, "skeleton_of", skeleton_of)
    code, said = run("*.png")
    assert code == 1 and "error: b.png: does not fit in memory; make it smaller" in said
    assert list(rows_of(tmp_path / "skeletons").index) == ["a", "c"]


def test_areas_keep_their_digits(run, tmp_path):
    save(tmp_path / "large.png", np.pad(np.full((1111, 1113), 255, np.uint8), 5))
    assert run("large.png")[0] == 0
    assert rows_of(tmp_path / "skeletons").loc["large", "area"] == 1111 * 1113


def test_switches_of_the_command_line(run, tmp_path):
    mask = blobs(90, 4)
    mask[3, 3] = ~mask[3, 3]
    save(tmp_path / "m.png", np.where(mask, 0, 255).astype(np.uint8))
    words = "--invert --threshold 100 --close 1 --fill-holes 20 --min-area 30 --tolerance 5%"
    words += " --reach-border --prune-length 3 --prune-radii 1 --prune-salience 2 --spacing 0.65"
    assert run("m.png", *words.split(), "--unit", "um")[0] == 0
    row = rows_of(tmp_path / "skeletons").loc["m"]
    assert row["unit"] == "um" and row["threshold"] == 100
    counted = {"closed-px", "filled-px", "dropped-objects", "pruned-branches", "pruned-length"}
    assert counted <= set(row.index)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.png"], "nowhere.png: no such file or folder"),
        (["*.xyz"], "no such file or folder"),
        (["."], "found 1 .txt; expected images: png"),
        (["a.png", "--formats", ""], "--formats is empty: expected some of png"),
        (["a.png", "--threshold", "nan"], "--threshold nan: expected a grey level"),
        (["a.png", "--unit", "a\nb"], "--unit 'a"),
        ([".", "--out", "."], "--out .: holds the images; name another folder"),
        (["a.png", "--formats", "pdf"], "--formats pdf: expected some of png, overlay"),
        (["a.png", "--tolerance", "wide"], "--tolerance 'wide': expected 0 or more pixels"),
        (["a.png", "--prune-radii", "-1"], "--prune-radii -1.0: expected 0 or more"),
    ],
)
def test_what_does_not_fit_is_one_line(run, tmp_path, words, message):
    (tmp_path / "only.txt").write_text("x")
    if words[0] == "a.png":
        save(tmp_path / "a.png", BAR)
    with pytest.raises(UserError, match=message.replace("*", ".")):
        run(*words)


def test_an_unwritable_folder_is_no_fault_of_the_image(run, tmp_path):
    save(tmp_path / "a.png", BAR)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError):
        run("a.png", "--out", "out")
