"use strict";
// Values on hover. Curves: at the step under the pointer, each line's value and range of seeds.
// Bars and points: their own text.
(() => {
  const names = [...document.querySelectorAll(".legend li:not(.legend-title)")].map((li) => li.textContent.trim());
  const number = (value) => Number(value.toPrecision(4)).toString();

  // The place in `steps` (in order) that is nearest to `step`.
  const nearest = (steps, step) => {
    let low = 0, high = steps.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < step) low = middle + 1; else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
  };

  const show = (figure, tip, lines, x, y) => {
    tip.replaceChildren(...lines.map((line) => {
      const row = document.createElement("div");
      row.textContent = line;
      return row;
    }));
    tip.hidden = false;
    const room = figure.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(x + 14 > room ? x - tip.offsetWidth - 14 : x + 14, room))}px`;
    tip.style.top = `${Math.max(0, y)}px`;
  };

  const linesAt = (data, step) => data.series.filter((s) => s.steps.length).map((s) => {
    const i = nearest(s.steps, step);
    const several = data.series.some((other) => other.metric !== s.metric);
    const range = s.low[i] === s.high[i] ? "" : ` (${number(s.low[i])}..${number(s.high[i])})`;
    return { step: s.steps[i], text: `${names[s.group]}${several ? ` ${s.metric}` : ""}: ${number(s.mean[i])}${range}` };
  });

  for (const figure of document.querySelectorAll(".chart")) {
    const svg = figure.querySelector("svg"), tip = figure.querySelector(".tip");
    const cursor = figure.querySelector(".cursor"), source = figure.querySelector("script");
    const hide = () => { tip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
    const place = (event) => {
      const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
      return { box, x: event.clientX - outer.left, y: event.clientY - outer.top };
    };
    svg.addEventListener("pointerleave", hide);
    for (const mark of figure.querySelectorAll("[data-tip]")) {
      const tell = (x, y) => show(figure, tip, [mark.dataset.tip], x, y);
      mark.addEventListener("pointermove", (event) => { const at = place(event); tell(at.x, at.y - 40); });
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("focus", () => {
        const box = mark.getBoundingClientRect(), outer = figure.getBoundingClientRect();
        tell(box.right - outer.left, box.top - outer.top - 30);
      });
      mark.addEventListener("blur", hide);
    }
    if (!source) continue;
    const data = JSON.parse(source.textContent);
    svg.addEventListener("pointermove", (event) => {
      const { box, x, y } = place(event);
      const part = ((event.clientX - box.left) / box.width - data.left) / (data.right - data.left);
      if (part < 0 || part > 1) { hide(); return; }
      const step = data.log ? data.low * (data.high / data.low) ** part : data.low + part * (data.high - data.low);
      const lines = linesAt(data, step);
      if (!lines.length) return;
      show(figure, tip, [`step ${Math.round(lines[0].step).toLocaleString("en")}`, ...lines.map((line) => line.text)], x, y + 12);
      const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      cursor.setAttribute("d", `M${at.toFixed(1)} 10V${svg.viewBox.baseVal.height - 44}`);
      cursor.setAttribute("visibility", "visible");
    });
  }
})();
