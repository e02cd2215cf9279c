// One slider through all curves, and through the snapshots of one run, or of two beside each other.
// The address's fragment keeps the view: #run=NAME&beside=NAME&step=6000.

async function scrubber(cursors) {
  const section = document.getElementById("inside");
  if (!section) return {};
  const head = JSON.parse(document.getElementById("scrubber").textContent);
  const buffer = await unpacked(document.getElementById("numbers").textContent);
  const part = (name) => section.querySelector(`.${name}`);
  const slider = part("steps"), output = part("told-step"), play = part("play");
  const chosen = ["run", "beside"].map((name) => part(name));
  const looks = [...section.querySelectorAll(".look")];
  const curves = [...section.querySelectorAll("canvas[data-curve]")];
  const runs = new Map(head.runs.map((run) => [run.name, run]));
  let steps = [0], timer = 0;

  const title = (run) => `${run.group}, seed ${run.seed}`;
  const shown = () => chosen.map((select) => runs.get(select.value)).filter(Boolean);
  const step = () => steps[slider.value];

  for (const [place, select] of chosen.entries()) {
    if (place) select.append(new Option("no other", ""));
    for (const run of head.runs) select.append(new Option(title(run) + (run.panels ? "" : " (curves only)"), run.name));
  }

  // The run's snapshot at a step: the last one that is not after it.
  const frameOf = (run, at) => Math.max(0, run.steps.findLastIndex((known) => known <= at));

  // What the slider moves through: the steps of the snapshots, else of the curves.
  const setSteps = (wanted) => {
    const some = shown().flatMap((run) => run.steps ?? []);
    const every = some.length ? some : shown().flatMap((run) => stepsOf(run.curves[0]));
    steps = [...new Set(every)].sort((a, b) => a - b);
    if (!steps.length) steps = [0];
    slider.max = steps.length - 1;
    const place = steps.findLastIndex((known) => known <= wanted);
    slider.value = Math.max(place, 0);
  };
  const stepsOf = (curve) => curve ? [...new Uint32Array(buffer, curve.steps.at, curve.steps.n)] : [];

  const draw = () => {
    const now = step(), texts = [];
    looks.forEach((look, place) => {
      const run = runs.get(chosen[place].value);
      look.hidden = !run;
      if (!run) return;
      look.querySelector("h3").textContent = title(run);
      const caption = look.querySelector(".caption"), holder = look.querySelector(".panels");
      if (holder.dataset.run !== run.name) fill(holder, run);
      const frame = run.panels ? frameOf(run, now) : 0;
      caption.textContent = run.panels
        ? `snapshot of step ${run.steps[frame].toLocaleString("en")}: ${run.captions[frame]}` : "no snapshot of this run is in this page";
      texts.push(caption.textContent);
      [...holder.querySelectorAll("canvas")].forEach((canvas, i) => {
        drawPanel(canvas, run.panels[i], buffer, head.colours, frame);
      });
    });
    output.textContent = `step ${now.toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", `step ${now}. ${texts.join(". ")}`);
    for (const canvas of curves) drawCurves(canvas, now);
    for (const cursor of cursors) cursor(now);
  };

  const fill = (holder, run) => {
    holder.dataset.run = run.name;
    holder.replaceChildren(...(run.panels ?? []).map((panel) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const canvas = document.createElement("canvas");
      caption.textContent = panel.title;
      caption.title = panel.note;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${panel.title}: ${panel.note}`);
      figure.append(caption, canvas);
      if (panel.shares) {  // the scale of its colours
        const ramp = document.createElement("span");
        ramp.className = "ramp";
        ramp.style.background = `linear-gradient(to right, ${head.colours.ramp})`;
        figure.append(ramp);
      }
      const keys = panel.kinds ? panel.kinds.names.map((name, i) => [name, head.colours.kinds[i]])
        : panel.shares ? [["0"], ["1"]] : panel.lines.length > 1 ? panel.lines.map((line) => [line.name, line.colour]) : [];
      const list = document.createElement("ul");
      list.append(...keys.map(([name, colour]) => {
        const item = document.createElement("li");
        if (colour) item.style.setProperty("--group", colour);
        item.textContent = name;
        return item;
      }));
      if (keys.length) figure.append(list);
      return figure;
    }));
  };

  // The last step of the curves' axis, and its place: part 0 is step 1, part 1 that step.
  const last = () => Math.max(10, ...shown().flatMap((run) => run.curves.flatMap((curve) => stepsOf(curve).slice(-1))));

  // Train dashed, test solid, of the chosen runs; a line at the step.
  const drawCurves = (canvas, now) => {
    const { context, width, height } = pen(canvas), metric = canvas.dataset.curve, log = head.curves[metric];
    const found = shown().flatMap((run, place) => run.curves.filter((curve) => curve.metric === metric)
      .map((curve) => ({ ...curve, run, place, at: stepsOf(curve), y: numbers(buffer, curve.values) })));
    const most = last();
    const known = found.flatMap((curve) => [...curve.y]).filter(Number.isFinite).map((value) => log ? Math.log10(value) : value);
    let low = log ? Math.floor(known.reduce((a, b) => Math.min(a, b), 0)) : 0, high = log ? Math.ceil(known.reduce((a, b) => Math.max(a, b), 0)) : 1;
    if (low === high) high += 1;
    const box = { left: 40, top: 6, right: width - 18, bottom: height - 18 };
    const x = (value) => box.left + Math.log(Math.max(value, 1)) / Math.log(most) * (box.right - box.left);
    const y = (value) => box.bottom - ((log ? Math.log10(value) : value) - low) / (high - low) * (box.bottom - box.top);
    context.fillStyle = INK.soft;
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    context.textAlign = "center";
    for (let tick = 1; tick <= most; tick *= 10) {
      context.strokeRect(x(tick), box.top, 0, box.bottom - box.top);
      context.fillText(tick.toLocaleString("en"), x(tick), box.bottom + 12);
    }
    context.textAlign = "right";
    for (const tick of ticks(low, high, log ? Math.min(3, high - low) : 3)) {  // whole powers of ten
      const place = y(log ? 10 ** tick : tick);
      context.strokeRect(box.left, place, box.right - box.left, 0);
      context.fillText(log ? `1e${Math.round(tick)}` : told(tick), box.left - 4, place + 3);
    }
    for (const curve of found) {
      context.strokeStyle = curve.run.colour;
      context.globalAlpha = curve.place && shown()[0].colour === curve.run.colour ? 0.55 : 1;
      context.lineWidth = 1.5;
      context.setLineDash(curve.split === "train" ? [4, 3] : []);
      context.beginPath();
      curve.y.forEach((value, i) => { if (Number.isFinite(value) && curve.at[i] > 0) context.lineTo(x(curve.at[i]), y(value)); });
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    context.strokeStyle = INK.text;
    context.lineWidth = 1;
    context.strokeRect(x(now), box.top, 0, box.bottom - box.top);
  };

  // The fragment.
  const read = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const first = head.runs.find((run) => run.panels) ?? head.runs[0];
    chosen[0].value = runs.has(wanted.get("run")) ? wanted.get("run") : first.name;
    chosen[1].value = runs.has(wanted.get("beside")) ? wanted.get("beside") : "";
    setSteps(wanted.has("step") ? Number(wanted.get("step")) || 0 : Infinity);
  };
  const keep = () => {
    const view = new URLSearchParams({ run: chosen[0].value });
    if (chosen[1].value) view.set("beside", chosen[1].value);
    if (slider.value !== slider.max) view.set("step", step());  // at the end it follows a run that goes on
    history.replaceState(null, "", `#${view}`);
  };

  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (Number(slider.value) === Number(slider.max)) slider.value = 0;
    play.textContent = "Stop";
    timer = setInterval(() => {
      if (Number(slider.value) === Number(slider.max)) { stop(); return; }
      slider.value = Number(slider.value) + 1;
      draw();
      keep();
    }, 250);
  });
  slider.addEventListener("input", () => { stop(); draw(); keep(); });
  for (const select of chosen) {
    select.addEventListener("change", () => { stop(); setSteps(step()); draw(); keep(); });
  }
  for (const canvas of curves) {
    const go = (event) => {
      const part = (event.offsetX - 40) / (canvas.clientWidth - 58);
      const wanted = last() ** Math.min(Math.max(part, 0), 1) * (1 + 1e-9);
      slider.value = Math.max(0, steps.findLastIndex((known) => known <= wanted));
      slider.dispatchEvent(new Event("input"));
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      if (event.pointerId) canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) go(event); });
  }
  const moved = () => { if (section.isConnected) { read(); draw(); } };
  window.addEventListener("hashchange", moved);
  section.hidden = false;
  read();
  let width = 0;  // the observer tells the first one, too
  const size = new ResizeObserver(() => {
    if (section.clientWidth !== width) draw();
    width = section.clientWidth;
  });
  size.observe(section);
  return { draw, close: () => { stop(); size.disconnect(); window.removeEventListener("hashchange", moved); } };
}
