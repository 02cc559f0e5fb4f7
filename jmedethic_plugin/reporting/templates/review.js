"use strict";
(() => {
  const form = document.querySelector("form");
  const key = "jmedethic-review-" + form.dataset.version;
  const fields = () => [...form.querySelectorAll("input, textarea, select")];
  const progress = document.querySelector("#progress");
  const items = () => [...form.querySelectorAll("[data-key]")];
  const verdictOf = (item) => (item.querySelector("input:checked") || {}).value || "";

  const count = () => {
    const all = items();
    progress.textContent = all.filter(verdictOf).length + " / " + all.length;
  };

  const remember = () => {
    const state = {};
    for (const f of fields()) {
      if (f.type === "radio") { if (f.checked) state[f.name] = f.value; } else state[f.name] = f.value;
    }
    try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* storage may be off; saving to a file still works */ }
    count();
  };

  try {
    const state = JSON.parse(localStorage.getItem(key) || "{}");
    for (const f of fields()) {
      if (f.type === "radio") f.checked = state[f.name] === f.value;
      else if (f.name in state) f.value = state[f.name];
    }
  } catch { /* nothing kept */ }

  const cell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };

  form.addEventListener("input", remember);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = (name) => form.elements[name].value.trim();
    const rows = [JSON.parse(form.dataset.columns)];
    for (const item of items()) {
      rows.push([item.dataset.key, item.dataset.text, verdictOf(item), item.querySelector("textarea").value.trim(),
        value("reviewer"), value("profession"), value("date")]);
    }
    const csv = "\ufeff" + rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    link.download = "review-" + form.dataset.guideline + ".csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  count();
})();
