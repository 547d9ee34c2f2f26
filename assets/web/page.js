// Fetches the live part of a page anew while something can change in it. Without this script the page is whole, and
// a reload does the same.
"use strict";
(() => {
  const LIST_EVERY = 2000; // A list is looked at, not watched.
  const RUN_EVERY = 1000; // Bars of running spans grow by the second.
  const BUNCH = 150; // Events come in bunches.

  const live = () => document.getElementById("live");
  if (!live()) return;
  // Not the one in the bar: that is the form's where one was refused.
  const address = new URL(live().dataset.page, location.href);
  address.searchParams.set("part", "live");
  let last = "";
  let busy = false;
  let again = false;

  const announce = (text) => {
    document.getElementById("announce").textContent = text;
  };

  // Whoever has marked a text is about to copy it.
  const isMarked = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live().contains(selection.anchorNode);
  };

  const swap = (html) => {
    const before = live();
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("live");
    if (!fresh || html === last || isMarked()) return;
    last = html;
    for (const open of before.querySelectorAll("details[open]")) {
      const same = open.id && fresh.querySelector("#" + CSS.escape(open.id));
      if (same) same.open = true;
    }
    const active = document.activeElement;
    const kept = before.contains(active) ? active.id || active.parentElement.id : "";
    const said = fresh.dataset.said;
    if (said && said !== before.dataset.said) announce("This review is " + said);
    before.replaceWith(document.adoptNode(fresh));
    if (kept) {
      const same = document.getElementById(kept);
      const target = same && same.tagName === "DETAILS" ? same.querySelector("summary") : same;
      if (target) target.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
      if (answer.ok) swap(await answer.text());
    } catch {
      // The producer is away: what is shown stays, and the next turn tries again.
    }
    busy = false;
    if (again) {
      again = false;
      setTimeout(refresh, BUNCH);
    }
  };

  const whileShown = (step, every) => {
    const timer = setInterval(() => {
      if (!document.hidden && step() === false) clearInterval(timer);
    }, every);
  };

  if (live().dataset.live === "list") {
    whileShown(refresh, LIST_EVERY);
    return;
  }
  if (live().dataset.live !== "run") return;
  // Over HTTP/1.1 a browser opens six connections to a server, so a tab that nobody looks at must keep none.
  let source = null;
  let over = false;
  const soon = () => setTimeout(refresh, BUNCH);
  const close = () => {
    if (source) source.close();
    source = null;
  };
  const follow = () => {
    if (document.hidden || over) {
      close();
      return;
    }
    if (source) return;
    source = new EventSource(live().dataset.stream);
    source.onmessage = soon;
    source.addEventListener("end", () => {
      over = true;
      close();
      soon();
    });
  };
  follow();
  document.addEventListener("visibilitychange", () => {
    follow();
    if (!document.hidden && !over) soon();
  });
  whileShown(() => {
    if (live().dataset.live !== "run") {
      over = true;
      close();
      return false;
    }
    refresh();
    return true;
  }, RUN_EVERY);
})();
