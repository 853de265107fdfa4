"""Choose threshold and post-processing with Optuna, on probabilities of held-out images.

reads   runs/NAME/fold-K/held_out.npz of every trained fold, the labels
writes  the study, runs/NAME/threshold.json, threshold.png, sweep.csv, scores.csv (the network after
        and before post-processing, classical methods, all on the same images), out_of_fold.csv
        (each image)

The study is checked against a sweep; its F1 is also given cross-fitted. It tries what
the recipe does not name under postprocess, and is never below plain thresholding unless a named
switch is. For many workers in one study see tune_loss.py.

examples:
  python src/tune_threshold.py --recipe demo
  python src/tune_threshold.py --recipe cpu --trials 80      until 80 trials in all have ended
  python src/tune_threshold.py --recipe cpu --set postprocess.components=one
                                                             one piece, the rest searched
"""

from canet.core import cli, console
from canet.core.console import shown
from canet.core.recipe import Postprocess, check
from canet.core.runs import finished_folds
from canet.evaluation.out_of_fold import held_out_files
from canet.evaluation.score_tables import read_table
from canet.postprocess.skeleton import in_words
from canet.search.storage import shown_url
from canet.search.study import add_trials
from canet.search.threshold import search_threshold


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    cli.add_storage(parser)
    add_trials(parser)
    args = parser.parse_args()
    recipe = cli.load_network_recipe(args)
    outputs = [recipe.run_folder / n for n in ("threshold.json", "threshold.png", "scores.csv")]
    console.announce("threshold", held_out_files(recipe) or [recipe.run_folder], outputs)
    print(f"   study  {shown_url(recipe)}", flush=True)
    if not held_out_files(recipe) and finished_folds(recipe.run_folder):
        print("   trained on all images, none held out: nothing to choose a threshold on")
        return
    result = search_threshold(recipe, trials=args.trials, force=args.force)
    switches = check(result["postprocess"], shown(outputs[0]), Postprocess)
    print(
        f"   threshold {result['threshold']:.3f}, {in_words(switches)}: "
        f"F1 {result['f1']:.4f}, cross-fitted {result['f1_cross_fitted']:.4f} "
        f"on {result['images']} held-out images"
    )
    before, after = result["before"], result["after"]
    print(
        f"   against plain thresholding at {result['threshold_without_postprocessing']:.3f}: "
        f"F1 {result['f1'] - result['f1_without_postprocessing']:+.4f}, in one piece "
        f"{before['one_component']:.0%} → {after['one_component']:.0%}, "
        f"breaks an image {before['breaks']:.1f} → {after['breaks']:.1f}"
    )
    by_views = result["f1_by_views"]
    if len(by_views) == 2:
        print(
            f"   plain thresholding, cross-fitted: F1 {by_views['1']:.4f} from one view, "
            f"{by_views['8']:.4f} averaged over eight flips and turns (predict.tta=true)"
        )
    table = read_table(outputs[2]).reset_index()
    print(table.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    cli.run(main)
