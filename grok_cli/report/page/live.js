// Of `grok watch`: asks for the page every few seconds and puts what is new in its place. What the
// reader has chosen stays: the view (in the fragment), where the focus is, which details are open.

const PAUSE = 3000;  // milliseconds

function live() {
  let tag = document.body.dataset.live;
  const told = (text, lost) => {
    const line = document.querySelector(".live");
    line.textContent = text;
    line.classList.toggle("lost", lost);
  };
  // Not while the slider is held or plays.
  const busy = () => document.hidden || document.querySelector("#inside .steps:active")
    || document.querySelector("#inside .play")?.textContent === "Stop";

  const replace = async (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const place = document.activeElement?.closest("#inside") ? document.activeElement.className : "";
    const open = [...document.querySelectorAll("details")].map((details) => details.open);
    for (const part of ["style", "body > svg", "header", "main"]) {
      document.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
    }
    document.title = fresh.title;
    document.querySelectorAll("details").forEach((details, i) => { details.open = open[i] ?? false; });
    await start();
    if (place) document.querySelector(`#inside .${place}`)?.focus({ preventScroll: true });
  };

  const ask = async () => {
    if (!busy()) {
      try {
        const answer = await fetch(location.pathname, { headers: { "If-None-Match": tag }, cache: "no-store" });
        if (answer.status === 200) {
          tag = answer.headers.get("ETag");
          await replace(await answer.text());
        }
        if (!answer.ok && answer.status !== 304) throw new Error(answer.statusText);
        told(`renewed ${new Date().toLocaleTimeString()}`, false);
      } catch {
        told("no answer: does grok watch still run?", true);
      }
    }
    setTimeout(ask, PAUSE);
  };
  setTimeout(ask, PAUSE);
}

started.then(live);
