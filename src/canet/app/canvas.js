// The shape that is drawn on. `props.value` is what the server sees, its picture a PNG as a data URL;
// whatever sets it makes a step that can be undone.
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const pen = element.querySelector("input[type=range]");
const chooser = element.querySelector("input[type=file]");
const button = (name) => element.querySelector(`[data-do="${name}"]`);
const STEPS = 100;
const STEPS_PX = 2 ** 25; // of all steps together, 128 MB
let steps = [], at = -1; // {url, said, pixels}
let tool = "draw", pointer = null, last = null; // of a stroke
let loading = null, opened = 0; // the picture that is being decoded; how many files so far
let failed = false; // whether an error is shown

function tell() {
  const { url, said } = steps[at];
  failed = false;
  props.value = { picture: url, said, error: "" };
  trigger("input");
}

function fail(words) {
  failed = true;
  props.value = { ...props.value, error: words };
  trigger("input");
}

function step(url, said = []) {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  steps = [...steps.slice(0, at + 1), { url, said, pixels }].slice(-STEPS);
  const area = () => steps.reduce((sum, s) => sum + s.pixels.width * s.pixels.height, 0);
  while (steps.length > 2 && area() > STEPS_PX) steps.shift();
  at = steps.length - 1;
  mark();
}

function mark() {
  button("undo").disabled = at < 1;
  button("redo").disabled = at >= steps.length - 1;
}

function commit() {
  step(canvas.toDataURL());
  tell();
}

function travel(by) {
  if (loading || pointer !== null || !steps[at + by]) return;
  at += by;
  mark();
  const { pixels } = steps[at];
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  context.putImageData(pixels, 0, 0);
  tell();
}

// A picture from the server takes the drawing's place; until it is there nothing can be drawn.
function load(url, said, then) {
  loading = url;
  const picture = new Image();
  picture.onload = () => {
    if (loading !== url) return; // another came meanwhile
    loading = null;
    pointer = null;
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    context.drawImage(picture, 0, 0);
    step(url, said);
    then();
  };
  picture.onerror = () => {
    if (loading !== url) return;
    loading = null;
    fail("the picture could not be shown: too large for this browser?");
  };
  picture.src = url;
}

function place(event) { // in the picture's pixels; it is centred in the canvas' box
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
  return [
    (event.clientX - box.left - box.width / 2) / scale + canvas.width / 2,
    (event.clientY - box.top - box.height / 2) / scale + canvas.height / 2,
  ];
}

function stroke(event) {
  const next = place(event);
  context.strokeStyle = tool === "draw" ? "#fff" : "#000";
  context.lineWidth = (pen.value / 100) * Math.max(canvas.width, canvas.height);
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...last);
  context.lineTo(...next);
  context.stroke();
  last = next;
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || loading || pointer !== null) return; // one finger draws
  canvas.setPointerCapture(event.pointerId);
  pointer = event.pointerId;
  last = place(event);
  stroke(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId === pointer) event.buttons ? stroke(event) : endStroke(event);
});
// a menu or another program may take the pointer away without a word of "up"
for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
  canvas.addEventListener(end, endStroke);

function endStroke(event) {
  if (event.pointerId !== pointer) return;
  pointer = null;
  commit();
}

function fill(colour, operation) {
  if (loading || pointer !== null) return;
  context.globalCompositeOperation = operation;
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  commit();
}

const actions = {
  open: () => chooser.click(),
  undo: () => travel(-1),
  redo: () => travel(1),
  clear: () => fill("#000", "source-over"),
  invert: () => fill("#fff", "difference"),
};
element.querySelector(".tools").addEventListener("click", ({ target }) => {
  if (target.dataset.tool) {
    tool = target.dataset.tool;
    for (const b of element.querySelectorAll("[data-tool]"))
      b.setAttribute("aria-pressed", b === target);
  }
  actions[target.dataset.do]?.();
});

async function openFile(files) {
  const file = files[0];
  if (!file) return;
  const number = ++opened;
  const megabytes = (bytes) => Math.round(bytes / 2 ** 20);
  if (file.size > props.most_bytes)
    return fail(
      `${file.name}: is of ${megabytes(file.size)} MB; at most ${megabytes(props.most_bytes)} are read`,
    );
  const content = await new Promise((done) => {
    const reader = new FileReader();
    reader.onloadend = () => done(reader.result); // null where it could not be read
    reader.readAsDataURL(file);
  });
  const found = content && (await server.open_file([file.name, content]).catch(() => null));
  if (number !== opened) return; // another was opened meanwhile
  if (!content) return fail(`${file.name}: could not be read; is it a folder?`);
  if (!found) return fail(`${file.name}: was not answered; does the server still run?`);
  if (found.error) return fail(found.error);
  const more = files.length > 1 ? [`the first of ${files.length} files`] : [];
  load(found.picture, [...found.said, ...more], tell);
}

chooser.addEventListener("change", () => {
  openFile([...chooser.files]);
  chooser.value = ""; // the same file may be opened again
});
// anywhere on the page: beside the canvas a browser would leave the page for the file
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  canvas.classList.add("over");
});
document.addEventListener("dragleave", () => canvas.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  canvas.classList.remove("over");
  const files = [...event.dataTransfer.files];
  if (files.length) openFile(files);
  else fail("what was dropped is no file");
});
document.addEventListener("keydown", (event) => {
  const writes = event.target.matches("textarea, input:not([type=range], [type=checkbox])");
  if (!(event.ctrlKey || event.metaKey) || writes) return;
  const key = event.key.toLowerCase(); // with the shift or caps lock key it is a capital
  if (event.altKey || !["z", "y"].includes(key)) return;
  travel(key === "z" && !event.shiftKey ? -1 : 1);
  event.preventDefault();
});

// the examples' buttons, by their ids
document.addEventListener("click", ({ target }) => {
  const url = props.examples[target.closest("button")?.id];
  if (!url || url === loading) return;
  opened++; // files that are still being read come too late
  if (url !== steps[at]?.url) load(url, [], tell);
  else if (loading || failed) { // it is there: what comes does not, the error goes
    loading = null;
    tell();
  }
});
load(props.value.picture, props.value.said, () => {});
