// Adds sorting of tables and sliders over pairs of images. The page is complete without this script.

const FACTORS = {
  k: 1e3, M: 1e6, G: 1e9, T: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, min: 60, h: 3600, d: 86400,
};

function number(text) {
  const found = /^[<>≥≤~±\s]*([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)\s*([A-Za-z]+)?/.exec(text.replace(/[−–]/g, "-"));
  return found ? Number(found[1].replaceAll(",", "")) * (FACTORS[found[2]] ?? 1) : NaN;
}

// Numbers are sorted before words, so that FAILED and MISSING are at the end in both directions.
function compare(first, second, direction) {
  const [a, b] = [number(first), number(second)];
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  return direction * (Number.isNaN(a) ? first.localeCompare(second, "en", { numeric: true }) : a - b);
}

function shown(row, column) {
  const cell = row.cells[column];
  return (cell.querySelector("span, summary") ?? cell).textContent.trim();
}

function sort(table, column) {
  const heads = table.tHead.rows[0].cells;
  const direction = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => compare(shown(a, column), shown(b, column), direction)));
}

function makeSortable(table) {
  if (table.tBodies[0].rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.append(button);
  });
}

function makeSlider(figure) {
  const frames = figure.querySelector(".frames");
  const [first, second] = [...figure.querySelectorAll(".tag")].map((tag) => tag.textContent);
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 0;
  slider.max = 100;
  slider.value = 50;
  slider.setAttribute("aria-label", `Divide between ${first} on the left and ${second} on the right`);
  const show = () => {
    frames.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${first}`);
  };
  slider.addEventListener("input", show);
  show();
  figure.classList.add("sliding");
  frames.after(slider);
}

function markSection(links) {
  const sections = [...links.keys()];
  const update = () => {
    const current = sections.findLast((section) => section.getBoundingClientRect().top < 120) ?? sections[0];
    for (const [section, link] of links) {
      if (section === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  document.addEventListener("scroll", update, { passive: true });
  update();
}

document.querySelectorAll("main table").forEach(makeSortable);
document.querySelectorAll("figure.pair").forEach(makeSlider);
const links = [...document.querySelectorAll(".contents a")].map((a) => [document.getElementById(a.hash.slice(1)), a]);
markSection(new Map(links.filter(([section]) => section)));
