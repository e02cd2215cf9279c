// A button beside each text that one would copy: commands, BibTeX.

function copying(holder) {
  const code = holder.querySelector("code"), button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${holder.dataset.copy}`);
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // a browser that does not allow it: the old way
      getSelection().selectAllChildren(code);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Marked: press Ctrl-C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  holder.append(button);
}
