// Keeps the first page up to date, and says when the server goes away and comes back.

const PATIENCE = 3000; // milliseconds without a word, where one comes each second

const sign = document.querySelector("[data-live]");
let source = null;
let asked = 0; // when it was opened
let heard = Date.now(); // when the server's last word came
let away = false;

function listen() {
  source?.close();
  source = new EventSource(sign.dataset.live);
  asked = Date.now();
  source.onmessage = show;
}

function show(event) {
  const facts = JSON.parse(event.data);
  for (const place of document.querySelectorAll("[data-fact]")) {
    const text = facts[place.dataset.fact];
    if (place.textContent !== text) place.textContent = text; // what did not change can be selected
  }
  const seconds = Math.round((Date.now() - heard) / 1000);
  if (away) say("live", `The server is back, after ${seconds} s.`);
  else if (!sign.dataset.state) say("live", "Live: the server sends these figures each second.");
  heard = Date.now();
  away = false;
}

function say(state, text) {
  sign.dataset.state = state;
  sign.textContent = text;
}

function look() {
  if (document.hidden || Date.now() - heard < PATIENCE) return;
  if (!away) say("away", `No figures since ${new Date(heard).toLocaleTimeString()}. This page goes on when the server is back; if it is, reload it: it may want a login.`);
  away = true;
  // A browser tries again by itself, unless something else answered: a proxy, or a page that logs in.
  if (source.readyState === EventSource.CLOSED && Date.now() - asked > PATIENCE) listen();
}

// A browser has six connections to a host, for all its tabs: one that nobody sees needs none.
document.addEventListener("visibilitychange", () => {
  if (!away) heard = Date.now();
  if (document.hidden) source.close();
  else listen();
});

listen();
setInterval(look, 1000);
