"use strict";
(() => {
  const root = document.documentElement;
  const one = (id) => document.getElementById(id);
  root.classList.add("scripted");

  const keep = (name, value) => { try { localStorage.setItem("jmedethic-" + name, value); } catch { /* storage may be off */ } };
  const kept = (name) => { try { return localStorage.getItem("jmedethic-" + name); } catch { return null; } };
  const choose = (attribute, value) => {
    for (const b of document.querySelectorAll(`[data-${attribute}]`)) b.setAttribute("aria-pressed", String(b.getAttribute(`data-${attribute}`) === value));
  };
  const setLanguage = (language) => {
    root.lang = language === "en" ? "en" : "ja";
    for (const e of document.querySelectorAll("[data-ja]")) e.textContent = e.getAttribute("data-" + root.lang);
    choose("language", root.lang);
  };
  const setTheme = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme; else delete root.dataset.theme;
    choose("theme-name", root.dataset.theme || "auto");
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-language], [data-theme-name]");
    if (!button) return;
    if (button.dataset.language) { setLanguage(button.dataset.language); keep("language", root.lang); }
    else { setTheme(button.dataset.themeName); keep("theme", button.dataset.themeName); }
  });
  setLanguage(kept("language"));
  setTheme(kept("theme"));

  // The first line holds what lists and filters need, each further line one conversation, read when it is opened or searched.
  const lines = one("data").textContent.split("\n");
  const { words, cases, redacted } = JSON.parse(lines[0]);
  const transcript = (i) => JSON.parse(lines[i + 1]);

  // Text of models and data sets enters as text nodes only.
  const make = (tag, attributes, ...children) => {
    const e = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value) e.setAttribute(name, value);
    e.append(...children);
    return e;
  };
  const both = (ja, en) => {
    const f = document.createDocumentFragment();
    f.append(make("span", { class: "ja", lang: "ja" }, ja), make("span", { class: "en", lang: "en" }, en));
    return f;
  };
  const word = (key) => Object.hasOwn(words, key) ? both(...words[key]) : document.createTextNode(key);
  const lower = {};
  const searchable = (i) => {
    if (lower[i] === undefined) {
      const t = redacted ? { turns: [], about: [] } : transcript(i);
      lower[i] = [cases[i].id, ...t.about, ...t.turns.flatMap((turn) => [turn.user, turn.reply.join(""), turn.error,
        ...(turn.verdicts || []).flatMap((v) => [v.judge, v.reason]), ...(turn.human || []).filter((h) => typeof h === "string")])].join("\n").toLowerCase();
    }
    return lower[i];
  };
  const prepare = (deadline) => {
    let i = prepare.next || 0;
    while (i < cases.length && deadline.timeRemaining() > 2) searchable(i++);
    prepare.next = i;
    if (i < cases.length) requestIdleCallback(prepare);
  };

  const form = document.querySelector(".filters");
  const fields = [...form.querySelectorAll("select")];
  const perPage = 100;
  let found = [], page = 0;

  const filter = () => {
    const wanted = fields.filter((f) => f.value).map((f) => [f.name, f.value]);
    const text = form.elements.text.value.trim().toLowerCase();
    const fits = (c, i) => wanted.every(([name, value]) => Array.isArray(c[name]) ? c[name].includes(value) : c[name] === value) && (!text || searchable(i).includes(text));
    found = cases.map((_, i) => i).filter((i) => fits(cases[i], i));
  };
  const show = (at) => {
    const last = Math.max(0, Math.ceil(found.length / perPage) - 1);
    page = Math.min(Math.max(at, 0), last);
    one("list").replaceChildren(...found.slice(page * perPage, (page + 1) * perPage).map(row));
    one("count").replaceChildren(both(`${cases.length}会話のうち${found.length}会話`, `${found.length} of ${cases.length} conversations`));
    one("page").textContent = `${page + 1} / ${last + 1}`;
    one("previous").disabled = page === 0;
    one("next").disabled = page === last;
  };

  const row = (i) => {
    const c = cases[i];
    const points = c.points.map((p, n) => make("span", { class: p === null ? "not_measured" : c.met[n] ? "safe" : "violation" }, p === null ? "-" : String(Math.round(p * 100) / 100)));
    const marks = c.disagreement.map((d) => make("span", { class: "tag" }, word(d)));
    const badge = make("span", { class: "badge " + c.result }, word(c.result));
    if (c.turn) badge.append(both(` (ターン${c.turn})`, ` (turn ${c.turn})`));
    const details = make("details", { class: "case", "data-case": c.id }, make("summary", {},
      badge, make("span", { class: "name" }, c.id, " ", word(c.guideline), " / ", word(c.strategy), " ", ...marks),
      make("span", { class: "points" }, make("span", { class: "hidden" }, both("各ターンの点数 ", "points by turn ")), ...points)));
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      if (details.children.length === 1) details.append(body(i));
      history.replaceState(null, "", "#case=" + encodeURIComponent(c.id));
    });
    return details;
  };

  const body = (i) => {
    const c = cases[i];
    if (redacted) return make("div", { class: "body" }, make("p", {}, both("この報告書では文章を除いてあります。", "Texts were left out of this report.")));
    const t = transcript(i), lang = c.language;
    const e = make("div", { class: "body" });
    if (t.missing.length) e.append(make("p", { class: "not_measured" }, t.missing.join("; ")));
    const about = make("dl", {});
    [["狙い", "request"], ["違反となる回答", "a violating answer"], ["望ましい回答", "an acceptable answer"]].forEach((name, n) => about.append(make("dt", {}, both(...name)), make("dd", { lang }, t.about[n])));
    e.append(about, ...t.turns.map((turn, n) => section(turn, n, c)));
    return e;
  };

  const section = (turn, n, c) => {
    const e = make("section", { class: "turn" }, make("h3", {}, both(`ターン${n + 1}`, `Turn ${n + 1}`)),
      make("p", { class: "who" }, both("利用者", "user")), make("pre", { class: "user", lang: c.language }, turn.user));
    if (turn.reply.join("")) {
      e.append(make("p", { class: "who" }, both("モデルの回答", "reply of the model")),
        make("pre", { class: "reply", lang: c.language }, ...turn.reply.map((part, k) => k % 2 ? make("mark", {}, part) : part)));
    }
    if (turn.outcome !== "ok") e.append(make("p", { class: "not_measured" }, word(turn.outcome), turn.error ? ": " + turn.error : ""));
    if (!turn.verdicts) return e;
    const head = make("tr", {}, ...[["評価モデル", "judge"], ["点数", "points"], ["分類", "class"], ["理由と引用", "reason and quotation"]].map((name) => make("th", { scope: "col" }, both(...name))));
    const rows = turn.verdicts.map((v) => {
      const judge = make("td", {}, v.judge);
      if (v.third) judge.append(both(" (三人目)", " (third)")); else if (v.instead) judge.append(both(` (${v.instead}の代わり)`, ` (instead of ${v.instead})`));
      if (v.cause) return make("tr", {}, judge, make("td", { class: "not_measured" }, word("unscored")), make("td", {}, v.cause), make("td", {}, v.reason));
      return make("tr", {}, judge, make("td", {}, String(v.points)), make("td", {}, word(v.class)), make("td", {}, v.reason, ...v.quotes.map((q) => make("q", {}, q))));
    });
    if (turn.human) rows.push(make("tr", {}, make("td", {}, turn.human[0], both(" (人による判定)", " (a person)")), make("td", {}, String(turn.human[1])), make("td", {}), make("td", {}, turn.human[2])));
    e.append(make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
    if (turn.flags.length) e.append(make("p", { class: "violation" }, word("flagged"), ": " + turn.flags.join(", ")));
    const points = c.points[n];
    if (points !== null) e.append(make("p", { class: c.met[n] ? "safe" : "violation" }, both("判定に用いる点数", "points that count"), ` ${points} (`, word(turn.how), ")"));
    return e;
  };

  const refresh = () => { filter(); show(0); };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => { setTimeout(refresh); history.replaceState(null, "", "#cases"); });
  one("previous").addEventListener("click", () => { show(page - 1); one("cases").scrollIntoView(); });
  one("next").addEventListener("click", () => { show(page + 1); one("cases").scrollIntoView(); });

  // #case=ID opens a conversation; #guideline=B11&strategy=... sets filters.
  const follow = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const id = asked.get("case"), named = fields.filter((f) => asked.has(f.name));
    if (id === null && !named.length) return;
    for (const f of fields) f.value = asked.get(f.name) || "";
    form.elements.text.value = "";
    filter();
    const place = id === null ? 0 : found.findIndex((i) => cases[i].id === id);
    show(Math.floor(Math.max(place, 0) / perPage));
    const target = id !== null && place >= 0 ? one("list").children[place % perPage] : one("cases");
    if (target.tagName === "DETAILS") { target.open = true; target.firstElementChild.focus({ preventScroll: true }); }
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);

  const tip = one("tip");
  const hover = (event) => {
    const cell = event.target.closest ? event.target.closest("[data-cell]") : null;
    tip.hidden = !cell;
    if (!cell) return;
    const [violated, measured, missing, , guideline, strategy] = cell.dataset.cell.split(" ");
    tip.replaceChildren(guideline + " ", word(guideline), " / ", word(strategy), ": ",
      both(`違反 ${violated} / ${measured}会話、測定なし ${missing}`, `violated ${violated} of ${measured}, not measured ${missing}`));
    const place = cell.getBoundingClientRect();
    tip.style.left = Math.min(place.left, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = (place.bottom + tip.offsetHeight + 8 > innerHeight ? place.top - tip.offsetHeight - 4 : place.bottom + 4) + "px";
  };
  document.addEventListener("pointerover", hover);
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    const [, , , language, guideline, strategy] = cell.dataset.cell.split(" ");
    location.hash = new URLSearchParams({ language, guideline, strategy });
  });

  refresh();
  follow();
  if (window.requestIdleCallback) requestIdleCallback(prepare);
})();
