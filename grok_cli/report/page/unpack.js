// The numbers of the page: bytes, deflated, in base64. grok_cli/figures/packed.py wrote them.

async function unpacked(text) {
  const letters = atob(text.trim()), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// The numbers of one frame; NaN where there is none.
function numbers(buffer, told, frame = 0) {
  const at = told.at + frame * told.n * told.bytes;
  const levels = told.bytes === 2 ? new Uint16Array(buffer, at, told.n) : new Uint8Array(buffer, at, told.n);
  return Float64Array.from(levels, (level) => {
    if (level === 0) return NaN;
    const value = told.low + (level - 1) * told.step;
    return told.log ? Math.exp(value) : value;
  });
}

// The kinds of all cells at a frame: what changed from frame to frame, up to there. 0: none.
function kinds(buffer, told, frame) {
  const count = told.rows * told.columns, found = new Uint8Array(count);
  for (let f = 0; f <= frame; f++) {
    const changed = new Uint8Array(buffer, told.at + f * count, count);
    for (let i = 0; i < count; i++) found[i] ^= changed[i];
  }
  return found;
}
