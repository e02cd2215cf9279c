// Draws a chart of figures/packed.py on a canvas: lines, dots, kinds, shares. Knows none by name.

const INK = {};  // colours of text and grid, read from the page when they may have changed

function readInk(printing) {
  const style = getComputedStyle(document.documentElement);
  INK.soft = printing ? "#5b616b" : style.getPropertyValue("--soft");
  INK.line = printing ? "#dfe2e6" : style.getPropertyValue("--line");
  INK.text = printing ? "#1b1d21" : style.getPropertyValue("--text");
}

// A canvas as large as it is shown, sharp on every screen; its pen counts in the page's points.
function pen(canvas) {
  const ratio = Math.max(window.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "10px system-ui, sans-serif";
  return { context, width, height };
}

function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((m) => m * power >= least * (1 - 1e-9));
}

function ticks(low, high, count) {
  const [first, last] = low < high ? [low, high] : [high, low];
  const step = roundStep((last - first) / count), found = [];
  for (let i = Math.ceil(first / step - 1e-9); i * step <= last + step * 1e-9; i++) found.push(i * step);
  return found;
}

const told = (value) => Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3)
  ? value.toExponential(0).replace("e+", "e") : Number(value.toPrecision(4)).toLocaleString("en");

function drawPanel(canvas, panel, buffer, colours, frame) {
  const { context, width, height } = pen(canvas);
  const bare = !panel.x.label && !panel.y.label && panel.dots;
  const box = { left: bare ? 4 : 26, top: 4, right: width - 5, bottom: height - (bare ? 4 : 26) };
  const x = (value) => box.left + (value - panel.x.low) / (panel.x.high - panel.x.low) * (box.right - box.left);
  const y = (value) => box.bottom - (value - panel.y.low) / (panel.y.high - panel.y.low) * (box.bottom - box.top);
  if (panel.kinds) {
    const found = kinds(buffer, panel.kinds, frame);
    const colour = colours.kinds.map(channels);
    drawCells(context, box, panel.kinds.rows, panel.kinds.columns, (i) => found[i] ? colour[found[i] - 1] : null);
  }
  if (panel.shares) {
    const [first, second] = [panel.shares.first, panel.shares.second].map((part) => numbers(buffer, part, frame).map(Math.exp));
    const ramp = mixed(colours.ramp), columns = second.length;
    drawCells(context, box, first.length, columns, (i) => {
      const a = first[Math.floor(i / columns)], b = second[i % columns];
      const share = (panel.shares.of ? b : a) / (a + b + 1);
      return Number.isNaN(share) ? null : ramp[Math.round(share * 255)];
    });
  }
  if (!bare) drawAxes(context, box, panel, x, y, !panel.kinds && !panel.shares);
  if (panel.dots) drawDots(context, box, panel.dots, buffer, colours.wheel, frame, x, y);
  for (const line of panel.lines) {
    const values = numbers(buffer, line.y, frame);
    context.strokeStyle = line.colour;
    context.lineWidth = 1.2;
    context.beginPath();
    values.forEach((value, i) => context.lineTo(x(line.x + i), y(value)));
    context.stroke();
  }
}

function drawCells(context, box, rows, columns, colourOf) {
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const brush = small.getContext("2d"), image = brush.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const colour = colourOf(i);
    if (colour) image.data.set([...colour, 255], 4 * i);
  }
  brush.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, box.left, box.top, box.right - box.left, box.bottom - box.top);
}

function drawAxes(context, box, panel, x, y, grid) {
  context.strokeStyle = INK.line;
  context.fillStyle = INK.soft;
  context.lineWidth = 1;
  context.textAlign = "center";
  for (const tick of ticks(panel.x.low, panel.x.high, 4)) {
    if (grid) context.strokeRect(x(tick), box.top, 0, box.bottom - box.top);
    context.fillText(told(tick), x(tick), box.bottom + 11);
  }
  context.fillText(panel.x.label, (box.left + box.right) / 2, box.bottom + 23);
  context.textAlign = "right";
  for (const tick of ticks(panel.y.low, panel.y.high, 4)) {
    if (grid) context.strokeRect(box.left, y(tick), box.right - box.left, 0);
    context.fillText(told(tick), box.left - 3, y(tick) + 3);
  }
}

function drawDots(context, box, dots, buffer, wheel, frame, x, y) {
  const xs = numbers(buffer, dots.x, frame), ys = numbers(buffer, dots.y, frame);
  const order = dots.turns.map((_, i) => i).sort((a, b) => dots.turns[a] - dots.turns[b]);
  context.strokeStyle = INK.line;
  context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  context.strokeStyle = INK.soft;
  context.globalAlpha = 0.4;
  context.lineWidth = 0.5;
  context.beginPath();
  for (const i of order) context.lineTo(x(xs[i]), y(ys[i]));
  context.closePath();
  context.stroke();
  context.globalAlpha = 1;
  for (const i of order) {
    context.fillStyle = wheel[Math.floor(dots.turns[i] * wheel.length) % wheel.length];
    context.beginPath();
    context.arc(x(xs[i]), y(ys[i]), 2, 0, 7);
    context.fill();
  }
}

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

// 256 colours along a ramp of a few.
function mixed(ramp) {
  const ends = ramp.map(channels);
  return Array.from({ length: 256 }, (_, i) => {
    const place = i / 255 * (ends.length - 1), from = Math.min(Math.floor(place), ends.length - 2);
    return ends[from].map((channel, c) => Math.round(channel + (ends[from + 1][c] - channel) * (place - from)));
  });
}
