// Makes tables sortable, searchable and short, and draws the figures that the page holds as JSON, in the colours of the
// reader's theme. Data never becomes markup here.
(() => {
  "use strict";
  const FOLD = 12;
  const collator = new Intl.Collator("en", { numeric: true });
  const sheets = [];

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // What a cell is sorted by: its number, else its words; null where nothing was measured, which comes last either way.
  function key(cell) {
    if ("value" in cell.dataset) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "–" ? null : text;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : collator.compare(a, b);
    return typeof a === "number" ? -1 : 1; // numbers before words
  }

  function sorted(rows, column, sign) {
    const keyed = rows.map((row) => [key(row.cells[column]), row]);
    return keyed.sort(([a], [b]) =>
      a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)).map(([, row]) => row);
  }

  class Sheet {
    constructor(place) {
      this.place = place;
      this.table = place.querySelector("table");
      this.body = this.table.tBodies[0];
      this.rows = [...this.body.rows];
      this.query = "";
      this.open = this.rows.length <= FOLD + 3;
      this.titles = [...this.table.tHead.rows[0].cells];
      this.titles.forEach((title, column) => this.sortable(title, column));
      if ("search" in place.dataset) this.searchable();
      if (!this.open) this.foldable();
      this.refresh();
    }

    sortable(title, column) {
      if (this.rows.length < 2) return;
      const button = element("button", { type: "button", className: "sort" }, ...title.childNodes);
      button.addEventListener("click", () => {
        const down = title.ariaSort === "ascending";
        for (const other of this.titles) other.removeAttribute("aria-sort");
        title.setAttribute("aria-sort", down ? "descending" : "ascending");
        this.rows = sorted(this.rows, column, down ? -1 : 1);
        this.body.append(...this.rows);
        this.refresh();
      });
      title.append(button);
    }

    searchable() {
      this.count = element("output", { className: "count" });
      const box = element("input", { type: "search", autocomplete: "off", spellcheck: false });
      box.addEventListener("input", () => {
        this.query = box.value.trim().toLowerCase();
        this.refresh();
      });
      this.place.prepend(element("p", { className: "search" }, element("label", {}, "Search these rows ", box), this.count));
      this.texts = new Map(this.rows.map((row) => [row, row.textContent.toLowerCase()]));
    }

    foldable() {
      this.more = element("button", { type: "button", className: "more" });
      this.more.addEventListener("click", () => {
        this.open = !this.open;
        this.refresh();
      });
      this.place.append(this.more);
    }

    refresh() {
      const found = this.query ? this.rows.filter((row) => this.texts.get(row).includes(this.query)) : this.rows;
      const shown = new Set(this.open || this.query ? found : found.slice(0, FOLD));
      for (const row of this.rows) row.hidden = !shown.has(row);
      if (this.count) this.count.textContent = `${found.length} of ${this.rows.length} rows`;
      if (!this.more) return;
      this.more.hidden = this.query !== "";
      this.more.textContent = this.open ? `Show the first ${FOLD} rows` : `Show all ${this.rows.length} rows`;
      this.more.setAttribute("aria-expanded", String(this.open));
    }
  }

  for (const place of document.querySelectorAll(".sheet")) sheets.push(new Sheet(place));
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not(.copy)")) each.open = true;
    for (const sheet of sheets) {
      if (sheet.count) continue; // of what can be searched, paper shows what was on the screen
      sheet.open = true;
      sheet.refresh();
    }
  });
})();

(() => {
  "use strict";
  const THEMES = {
    light: { ink: "#1b1f24", soft: "#59616b", grid: "#e9ebee", zero: "#b4bac2", raised: "#ffffff", middle: "#f1f2f4" },
    dark: { ink: "#e6e8eb", soft: "#9aa3ae", grid: "#2a3038", zero: "#565f6b", raised: "#22272e", middle: "#262b32" },
  };
  const BETTER = "#0072B2", WORSE = "#D55E00";
  const PAPER = 660; // pixels between a page's margins
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [];

  function axis(given, theme) {
    const title = { ...given.title, font: { ...(given.title || {}).font, color: theme.soft } };
    return { ...given, title, gridcolor: theme.grid, zerolinecolor: theme.zero, tickfont: { color: theme.soft } };
  }

  function layout(given, theme, width) {
    return {
      ...given,
      ...(width ? { width, autosize: false } : {}),
      font: { ...given.font, color: theme.ink },
      xaxis: axis(given.xaxis, theme),
      yaxis: axis(given.yaxis, theme),
      hoverlabel: { bgcolor: theme.raised, bordercolor: theme.zero, font: { color: theme.ink, size: 12 } },
    };
  }

  function traces(given, theme) {
    return given.map((trace) => trace.type !== "heatmap" ? trace
      : { ...trace, colorscale: [[0, BETTER], [0.5, theme.middle], [1, WORSE]] });
  }

  function draw(name, paper) {
    const theme = THEMES[name];
    for (const { place, figure } of figures) {
      const width = paper ? Math.min(PAPER, place.clientWidth) : 0;
      const drawn = layout(figure.layout, theme, width);
      Plotly.react(place, traces(figure.data, theme), drawn, { displayModeBar: false, responsive: true });
    }
  }

  function current() {
    return dark.matches ? "dark" : "light";
  }

  for (const block of document.querySelectorAll("script[data-figure]")) {
    figures.push({ place: document.getElementById(block.dataset.figure), figure: JSON.parse(block.textContent) });
  }
  draw(current());
  dark.addEventListener("change", () => draw(current()));
  addEventListener("beforeprint", () => draw("light", true));
  addEventListener("afterprint", () => draw(current()));
})();

// Copies what a box holds; where a browser allows no clipboard, what is selected is copied by hand.
(() => {
  "use strict";
  for (const place of document.querySelectorAll("details.copy")) {
    const [box, said] = [place.querySelector("textarea"), place.querySelector("output")];
    place.querySelector("button").addEventListener("click", async () => {
      box.select();
      try {
        await navigator.clipboard.writeText(box.value);
        said.textContent = "copied";
      } catch {
        said.textContent = document.execCommand("copy") ? "copied" : "selected: press Ctrl+C";
      }
    });
  }
})();
