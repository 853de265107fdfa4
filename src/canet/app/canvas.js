// The shape that is drawn on. `props.value` is its PNG as a data URL; whoever sets it, here or on
// the server, makes a step that can be undone.
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const pen = element.querySelector("input[type=range]");
const chooser = element.querySelector("input[type=file]");
const button = (name) => element.querySelector(`[data-do="${name}"]`);
const STEPS = 100;
let steps = [], at = -1, tool = "draw", last = null, wanted = null;

function show(url, then = () => {}) {
  wanted = url;
  const picture = new Image();
  picture.onload = () => {
    if (wanted !== url) return; // another came meanwhile
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    context.drawImage(picture, 0, 0);
    then();
  };
  picture.src = url;
}

function step(url) {
  steps = [...steps.slice(0, at + 1), url].slice(-STEPS);
  at = steps.length - 1;
  mark();
}

function mark() {
  button("undo").disabled = at < 1;
  button("redo").disabled = at >= steps.length - 1;
}

function tell(url, said = []) {
  wanted = url;
  props.value = url;
  trigger("drawn", { said });
}

function commit() {
  const url = canvas.toDataURL();
  step(url);
  tell(url);
}

function travel(by) {
  if (steps[at + by] === undefined) return;
  at += by;
  mark();
  show(steps[at]);
  tell(steps[at]);
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
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  last = place(event);
  stroke(event);
});
canvas.addEventListener("pointermove", (event) => last && stroke(event));
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    if (last) commit();
    last = null;
  });

element.querySelector(".tools").addEventListener("click", ({ target }) => {
  if (target.dataset.tool) {
    tool = target.dataset.tool;
    for (const b of element.querySelectorAll("[data-tool]"))
      b.setAttribute("aria-pressed", b === target);
  }
  if (target.dataset.do === "open") chooser.click();
  if (target.dataset.do === "undo") travel(-1);
  if (target.dataset.do === "redo") travel(1);
  if (target.dataset.do === "clear") {
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    commit();
  }
  if (target.dataset.do === "invert") {
    context.globalCompositeOperation = "difference";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-over";
    commit();
  }
});

async function openFile(file) {
  const fail = (words) => trigger("failed", { error: `${file.name}: ${words}` });
  const megabytes = (bytes) => Math.round(bytes / 2 ** 20);
  if (file.size > props.most_bytes)
    return fail(`is of ${megabytes(file.size)} MB; at most ${megabytes(props.most_bytes)} are read`);
  const content = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => done(null);
    reader.readAsDataURL(file);
  });
  if (content === null) return fail("cannot be read");
  const found = await server.open_file([file.name, content]);
  if (found.error) return trigger("failed", { error: found.error });
  show(found.picture, () => {
    step(found.picture);
    tell(found.picture, found.said);
  });
}

chooser.addEventListener("change", () => {
  if (chooser.files.length) openFile(chooser.files[0]);
  chooser.value = ""; // the same file may be opened again
});
canvas.addEventListener("dragover", (event) => {
  event.preventDefault();
  canvas.classList.add("over");
});
canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
canvas.addEventListener("drop", (event) => {
  event.preventDefault();
  canvas.classList.remove("over");
  if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input[type=text], textarea")) return;
  if (event.key === "z") travel(-1);
  else if (event.key === "y" || event.key === "Z") travel(1);
  else return;
  event.preventDefault();
});

watch("value", () => { // set by the server: an example, a file
  if (props.value === wanted) return;
  const url = props.value;
  show(url, () => step(url));
});
show(props.value);
step(props.value);
