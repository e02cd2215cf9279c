"use strict";
// Values on hover. Curves: at the step under the pointer, each line's value and range of seeds.
// Bars and points: their own text. The box with the values stands below its chart, hiding none of it.
// Tables of the class "sortable" are sorted by the column whose title is pressed.
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

  const show = (figure, tip, lines, x) => {
    tip.replaceChildren(...lines.map((line) => {
      const row = document.createElement("div");
      row.textContent = line;
      return row;
    }));
    tip.hidden = false;
    const room = figure.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(x - tip.offsetWidth / 2, room))}px`;
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
      const box = svg.getBoundingClientRect();
      return { box, x: event.clientX - figure.getBoundingClientRect().left };
    };
    svg.addEventListener("pointerleave", hide);
    for (const mark of figure.querySelectorAll("[data-tip]")) {
      const tell = (x) => show(figure, tip, [mark.dataset.tip], x);
      mark.addEventListener("pointermove", (event) => tell(place(event).x));
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("focus", () => {
        tell(mark.getBoundingClientRect().right - figure.getBoundingClientRect().left);
      });
      mark.addEventListener("blur", hide);
    }
    if (!source) continue;
    const data = JSON.parse(source.textContent);
    svg.addEventListener("pointermove", (event) => {
      const { box, x } = place(event);
      const part = ((event.clientX - box.left) / box.width - data.left) / (data.right - data.left);
      if (part < 0 || part > 1) { hide(); return; }
      const step = data.log ? data.low * (data.high / data.low) ** part : data.low + part * (data.high - data.low);
      const lines = linesAt(data, step);
      if (!lines.length) return;
      show(figure, tip, [`step ${Math.round(lines[0].step).toLocaleString("en")}`, ...lines.map((line) => line.text)], x);
      const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      cursor.setAttribute("d", `M${at.toFixed(1)} 10V${svg.viewBox.baseVal.height - 44}`);
      cursor.setAttribute("visibility", "visible");
    });
  }

  // A cell's value: the number that it begins with, else its text; what is not there comes last.
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    if (text === "" || text.startsWith("–")) return null;
    const found = row.cells[column].firstChild?.textContent.trim().replaceAll(",", "") ?? "";
    return found !== "" && Number.isFinite(Number(found)) ? Number(found) : text;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return null;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const titles = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    titles.forEach((title, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...title.childNodes);
      title.append(button);
      button.addEventListener("click", () => {
        const down = title.getAttribute("aria-sort") === "ascending";
        titles.forEach((other) => other.removeAttribute("aria-sort"));
        title.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => ({ row, value: value(row, column) }));
        rows.sort((a, b) => {
          const order = compare(a.value, b.value);
          if (order === null) return (a.value === null) - (b.value === null);
          return down ? -order : order;
        });
        body.append(...rows.map((entry) => entry.row));
      });
    });
  }
})();
