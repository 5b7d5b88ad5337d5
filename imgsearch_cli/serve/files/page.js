// The page's behaviour. What is searched for stands in the address, so that links and the back button work.

const PART = 40; // photos that one request asks for
const LATE = 400; // milliseconds after which it says that it searches
const WAIT = 80; // milliseconds without a key before a search begins
const TYPING = "typing"; // marks an entry of the history that what is typed next replaces
const OPENED = "opened"; // marks an entry with a photo on top of its search, to which closing the photo goes back
const FIELDS = ["q", "in", "after", "before", "camera", "shape", "not", "language"];
const FILTERS = FIELDS.slice(1);

const $ = (id) => document.getElementById(id);
const form = $("form"), grid = $("grid"), viewer = $("viewer");
const dropped = new Map(); // id of a dropped photo -> address of its picture here
let answer = null; // what is shown: { key, rank, more, ids }
let running = null; // the request under way
let timer = 0;

// -- the address -----------------------------------------------------------------------------------------------------

const state = () => new URLSearchParams(location.search);

function go(change, { replace = false, mark = null } = {}) {
  const next = state();
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const address = next.size ? `?${next}` : location.pathname;
  if (address === (location.search || location.pathname)) return;
  history[replace ? "replaceState" : "pushState"](mark, "", address);
  show();
}

function searched(from) { // the part of the state that decides what is found
  const wanted = new URLSearchParams();
  for (const name of [...FIELDS, "like", "min_score"]) {
    const value = from.get(name)?.trim();
    if (value) wanted.set(name, value);
  }
  return wanted;
}

// -- searching -------------------------------------------------------------------------------------------------------

function show() {
  const now = state();
  for (const name of FIELDS) {
    const field = form.elements[name];
    if (field.value.trim() !== (now.get(name) ?? "")) field.value = now.get(name) ?? "";
  }
  const set = FILTERS.filter((name) => now.get(name)).length;
  $("filter-count").textContent = set ? `(${set})` : "";
  if (set) $("filters").open = true;
  showLike(now.get("like"));
  document.title = now.get("q") ? `${now.get("q")} - imgsearch` : "imgsearch";
  const wanted = searched(now);
  if (answer?.key !== wanted.toString()) find(wanted);
  view(now.get("photo"));
}

async function ask(wanted, after, signal) {
  const asked = new URLSearchParams(wanted);
  asked.set("k", PART);
  asked.set("after_rank", after);
  const response = await fetch(`/api/search?${asked}`, { signal });
  const found = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw new Error(found.error ?? "the server did not answer");
  return found;
}

async function find(wanted) {
  running?.abort();
  const mine = (running = new AbortController());
  answer = { key: wanted.toString(), wanted, rank: 0, more: false, ids: [] };
  if (!wanted.has("q") && !wanted.has("like")) {
    clear();
    say(FILTERS.some((name) => wanted.has(name)) ? "Describe a photo, or give one, to search with these filters" : $("status").dataset.idle);
    return;
  }
  const late = setTimeout(() => say("Searching ..."), LATE);
  try {
    const found = await ask(wanted, 0, mine.signal);
    if (mine !== running) return;
    clear();
    add(found);
    report(found, wanted);
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    clear();
    answer.key = null; // asked again when the same is searched for
    say("");
    warn(error.message);
  } finally {
    clearTimeout(late);
  }
}

async function more() {
  if (!answer?.more || answer.loading) return;
  const part = answer;
  part.loading = true;
  try {
    const found = await ask(part.wanted, part.rank, running.signal);
    if (part === answer) add(found);
    if (part === answer) count();
  } catch (error) {
    if (error.name !== "AbortError" && part === answer) {
      part.more = false;
      warn(error.message);
    }
  } finally {
    part.loading = false;
  }
  if (part === answer && part.more && isNear($("end"))) more();
}

const isNear = (element) => element.getBoundingClientRect().top < 2 * innerHeight;

function report(found, wanted) {
  const warnings = found.warnings ?? [];
  if (warnings.length) warn(warnings.join("; "));
  if (found.withheld) say("");
  else if (answer.ids.length && !found.matches.length) say("Nothing fits well. These are the nearest, and probably not it:");
  else if (!found.matches.length) say(found.reason || "Nothing found");
  else count();
  $("unlikely").hidden = found.withheld || wanted.has("min_score") || wanted.has("like") || found.more;
}

function count() {
  const photos = answer.ids.length;
  say(`${photos}${answer.more ? "+" : ""} ${photos === 1 ? "photo" : "photos"}`);
  if (!answer.more && !answer.wanted.has("min_score") && !answer.wanted.has("like")) $("unlikely").hidden = false;
}

function clear() {
  grid.replaceChildren();
  $("unlikely").hidden = true;
  warn("");
}

function say(text) {
  $("status").textContent = text;
}

function warn(text) {
  $("warning").textContent = text;
  $("warning").hidden = !text;
}

// -- the grid --------------------------------------------------------------------------------------------------------

function add(found) {
  if (found.withheld) {
    grid.append(notice(found.notice));
    return;
  }
  for (const row of found.matches) {
    answer.rank = row.rank + (row.count ?? 1) - 1;
    if (row.withheld) grid.append(notice(row.count === 1 ? row.notice : `${row.count} photos: ${row.notice}`));
    else addTile(row);
  }
  for (const row of found.matches.length ? [] : found.nearest) addTile(row).classList.add("unlikely");
  answer.more = found.more;
}

function notice(text) {
  const item = document.createElement("li");
  item.className = "notice";
  item.textContent = text;
  return item;
}

function addTile(row) {
  const item = $("tile").content.firstElementChild.cloneNode(true);
  if (answer.ids.includes(row.id) || answer.wanted.get("like") === row.id) return item;
  answer.ids.push(row.id);
  const link = item.querySelector("a"), picture = item.querySelector("img"), name = nameOf(row.path);
  const address = state();
  address.set("photo", row.id);
  link.href = `?${address}`;
  link.dataset.id = row.id;
  link.title = row.path;
  picture.alt = name;
  picture.src = `/photos/${row.id}/small`;
  picture.addEventListener("error", () => picture.classList.add("gone"), { once: true });
  item.querySelector("meter").value = row.score;
  item.querySelector(".score").textContent = row.score.toFixed(2);
  const day = item.querySelector("time");
  day.textContent = row.day ?? "";
  day.dateTime = row.day ?? "";
  item.querySelector(".place").textContent = row.missing ? `${row.path} (no longer there)` : shortened(row.path);
  grid.append(item);
  return item;
}

const nameOf = (path) => path.split("/").at(-1);
const shortened = (path) => path.split("/").slice(-2).join("/");

grid.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go({ photo: link.dataset.id }, { mark: OPENED });
});

new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "600px" }).observe($("end"));

$("unlikely").addEventListener("click", () => go({ min_score: "0" }));

// -- one photo -------------------------------------------------------------------------------------------------------

async function view(id) {
  if (!id) {
    if (viewer.open) viewer.close();
    return;
  }
  if (viewer.open && viewer.dataset.id === id) return;
  viewer.dataset.id = id;
  $("large").removeAttribute("src");
  $("large").alt = "";
  $("name").textContent = "";
  $("facts").replaceChildren();
  $("trouble").hidden = true;
  if (!viewer.open) viewer.showModal();
  const place = answer?.ids.indexOf(id) ?? -1;
  $("previous").disabled = place <= 0;
  $("next").disabled = place < 0 || place + 1 >= answer.ids.length;
  $("more").href = `?${new URLSearchParams({ like: id })}`;
  const response = await fetch(`/api/photos/${encodeURIComponent(id)}`).catch(() => null);
  if (viewer.dataset.id !== id) return;
  if (!response?.ok) {
    trouble(response?.status === 404 ? "There is no such photo any more." : "The server did not answer.");
    return;
  }
  const facts = await response.json();
  if (viewer.dataset.id !== id) return;
  $("name").textContent = nameOf(facts.image_id);
  $("large").alt = nameOf(facts.image_id);
  $("large").src = `/photos/${id}/large`;
  const rows = [
    ["Folder", facts.image_id.split("/").slice(0, -1).join("/") || "/"],
    [facts.dated_by_file ? "File dated" : "Taken", facts.day],
    ["Size", `${facts.width} × ${facts.height}`],
    ["Camera", facts.camera],
    ...facts.copies.map((path) => ["Copy", path]),
  ];
  $("facts").replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = false;
}

function step(by) {
  const next = answer?.ids[answer.ids.indexOf(viewer.dataset.id) + by];
  if (!next || answer.ids.indexOf(viewer.dataset.id) < 0) return;
  go({ photo: next }, { replace: true, mark: history.state });
  if (answer.ids.indexOf(next) + 8 > answer.ids.length) more();
}

function closeViewer() {
  const id = viewer.dataset.id;
  viewer.close();
  if (history.state === OPENED) history.back();
  else go({ photo: "" }, { replace: true });
  grid.querySelector(`a[data-id="${CSS.escape(id)}"]`)?.focus();
}

function likeThis(id) {
  viewer.close();
  go({ photo: "", q: "", like: id, min_score: "" });
  scrollTo(0, 0);
}

$("large").addEventListener("error", () => trouble("The picture cannot be shown: its file is gone, or has changed since it was indexed."));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("close").addEventListener("click", closeViewer);
$("more").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  likeThis(viewer.dataset.id);
});
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  closeViewer();
});
viewer.addEventListener("click", (event) => event.target === viewer && closeViewer());

// -- searching by a photo --------------------------------------------------------------------------------------------

function showLike(id) {
  $("like").hidden = !id;
  const picture = $("like-picture");
  const address = !id ? "" : dropped.get(id) ?? (id.startsWith("dropped-") ? "" : `/photos/${id}/small`);
  picture.hidden = !address;
  if (address && picture.getAttribute("src") !== address) picture.src = address;
}

$("like-picture").addEventListener("error", () => { // many browsers cannot show HEIC and camera RAW
  $("like-picture").hidden = true;
});

async function give(file) {
  if (!file) return;
  say(`Looking at ${file.name || "the photo"} ...`);
  warn("");
  try {
    const response = await fetch("/api/photos", { method: "POST", body: file });
    const given = await response.json();
    if (!response.ok) throw new Error(given.error);
    if (given.withheld) {
      running?.abort();
      answer = { key: null, wanted: new URLSearchParams(), rank: 0, more: false, ids: [] };
      clear();
      say("");
      grid.append(notice(given.notice));
      return;
    }
    dropped.set(given.like, URL.createObjectURL(file));
    go({ like: given.like, q: "", photo: "", min_score: "" });
  } catch (error) {
    say("");
    warn(error.message);
  }
}

$("file").addEventListener("change", (event) => {
  give(event.target.files[0]);
  event.target.value = "";
});
$("unlike").addEventListener("click", () => {
  go({ like: "" });
  $("text").focus();
});

const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!holdsFile(event)) return;
  event.preventDefault();
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").hidden = true;
});
addEventListener("drop", (event) => {
  $("drop").hidden = true;
  if (!holdsFile(event)) return;
  event.preventDefault();
  give(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = event.clipboardData?.files[0];
  if (file?.type.startsWith("image/")) give(file);
});

// -- typing and keys -------------------------------------------------------------------------------------------------

function settle() { // what is typed from now on is another search
  if (history.state === TYPING) history.replaceState(null, "", location.href);
}

function typed() {
  const change = Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value.trim()]));
  return { ...change, min_score: "", photo: "" };
}

form.addEventListener("input", (event) => {
  if (event.target.type === "file") return;
  clearTimeout(timer);
  if (!form.elements.after.checkValidity() || !form.elements.before.checkValidity()) return;
  // what was typed on the way is no place to come back to
  timer = setTimeout(() => go(typed(), { replace: history.state === TYPING, mark: TYPING }), WAIT);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  go(typed(), { replace: history.state === TYPING });
  settle();
});
$("text").addEventListener("blur", settle);
$("clear").addEventListener("click", () => go(Object.fromEntries(FILTERS.map((name) => [name, ""]))));
document.querySelector(".ask .button").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    $("file").click();
  }
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target.matches?.("input, select, textarea");
  if (viewer.open) {
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "m") likeThis(viewer.dataset.id);
    return;
  }
  if (event.key === "/" && !inField) {
    event.preventDefault();
    $("text").focus();
    $("text").select();
  } else if (event.key === "ArrowDown" && event.target === $("text")) {
    event.preventDefault();
    grid.querySelector("a")?.focus();
  } else if (event.target.closest?.(".grid a")) moveInGrid(event);
});

function moveInGrid(event) {
  const links = [...grid.querySelectorAll("a")];
  const here = links.indexOf(event.target.closest("a"));
  if (event.key === "m") {
    likeThis(links[here].dataset.id);
    return;
  }
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!by) return;
  event.preventDefault();
  if (here + by < 0) $("text").focus();
  else links[Math.min(here + by, links.length - 1)].focus();
}

addEventListener("popstate", () => {
  clearTimeout(timer);
  show();
});
show();
