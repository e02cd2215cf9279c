// Sets everything on the page going, and again where live.js put a newer page in its place.

let close = () => {};

async function start() {
  close();
  readInk(false);
  const names = [...document.querySelectorAll(".legend li:not(.legend-title)")].map((li) => li.textContent.trim());
  const cursors = [...document.querySelectorAll(".chart")].map((figure) => hovering(figure, names)).filter(Boolean);
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("[data-copy]").forEach(copying);
  const moving = await scrubber(cursors);
  if (!moving.draw) return;
  const ink = (printing) => () => { readInk(printing); moving.draw(); };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const heard = [[dark, "change", ink(false)], [window, "beforeprint", ink(true)], [window, "afterprint", ink(false)]];
  heard.forEach(([from, event, action]) => from.addEventListener(event, action));
  close = () => {
    moving.close();
    heard.forEach(([from, event, action]) => from.removeEventListener(event, action));
  };
}

const started = start();
