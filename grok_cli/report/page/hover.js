// Values on hover. Curves: at the step under the pointer, each line's value and range of seeds.
// Bars and points: their own text. The box with the values stands below its chart, hiding none of it.

const short = (value) => Number(value.toPrecision(4)).toString();

// The place in `steps` (in order) that is nearest to `step`.
function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle + 1; else high = middle;
  }
  return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
}

function showTip(figure, tip, lines, x) {
  tip.replaceChildren(...lines.map((line) => {
    const row = document.createElement("div");
    row.textContent = line;
    return row;
  }));
  tip.hidden = false;
  const room = figure.clientWidth - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(x - tip.offsetWidth / 2, room))}px`;
}

function linesAt(data, names, step) {
  const several = new Set(data.series.map((line) => line.metric)).size > 1;
  return data.series.filter((line) => line.steps.length).map((line) => {
    const i = nearest(line.steps, step);
    const range = line.low[i] === line.high[i] ? "" : ` (${short(line.low[i])}..${short(line.high[i])})`;
    return { step: line.steps[i], text: `${names[line.group]}${several ? ` ${line.metric}` : ""}: ${short(line.mean[i])}${range}` };
  });
}

// Makes a figure tell its values. Returns what sets its cursor to a step; null if it has no curves.
function hovering(figure, names) {
  const svg = figure.querySelector("svg"), tip = figure.querySelector(".tip");
  const cursor = figure.querySelector(".cursor"), source = figure.querySelector("script");
  let rest = null;  // where the cursor is while nobody points
  const mark = (part) => {
    cursor.setAttribute("visibility", part === null ? "hidden" : "visible");
    if (part === null) return;
    const at = part * svg.viewBox.baseVal.width;
    cursor.setAttribute("d", `M${at.toFixed(1)} 10V${svg.viewBox.baseVal.height - 44}`);
  };
  const hide = () => { tip.hidden = true; mark(rest); };
  const place = (event) => event.clientX - figure.getBoundingClientRect().left;
  svg.addEventListener("pointerleave", hide);
  for (const shape of figure.querySelectorAll("[data-tip]")) {
    shape.addEventListener("pointermove", (event) => showTip(figure, tip, [shape.dataset.tip], place(event)));
    shape.addEventListener("pointerleave", hide);
    shape.addEventListener("focus", () => {
      const right = shape.getBoundingClientRect().right - figure.getBoundingClientRect().left;
      showTip(figure, tip, [shape.dataset.tip], right);
    });
    shape.addEventListener("blur", hide);
  }
  if (!source) return null;
  const data = JSON.parse(source.textContent), width = data.right - data.left;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width;
    const part = (at - data.left) / width;
    if (part < 0 || part > 1) { hide(); return; }
    const step = data.log ? data.low * (data.high / data.low) ** part : data.low + part * (data.high - data.low);
    const lines = linesAt(data, names, step);
    if (!lines.length) return;
    const texts = lines.map((line) => line.text);
    showTip(figure, tip, [`step ${Math.round(lines[0].step).toLocaleString("en")}`, ...texts], place(event));
    mark(at);
  });
  return (step) => {
    const part = data.log ? Math.log(step / data.low) / Math.log(data.high / data.low) : (step - data.low) / (data.high - data.low);
    rest = part >= 0 && part <= 1 ? data.left + part * width : null;
    mark(rest);
  };
}
