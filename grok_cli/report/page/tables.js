// Tables of the class "sortable" are sorted by the column whose title is pressed.

// A cell's value: the number that it begins with, else its text; what is not there comes last.
function cellValue(row, column) {
  const text = row.cells[column].textContent.trim();
  if (text === "" || text.startsWith("–")) return null;
  const found = row.cells[column].firstChild?.textContent.trim().replaceAll(",", "") ?? "";
  return found !== "" && Number.isFinite(Number(found)) ? Number(found) : text;
}

function compareValues(a, b) {
  if (a === null || b === null) return null;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortable(table) {
  const titles = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  titles.forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const down = title.getAttribute("aria-sort") === "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, value: cellValue(row, column) }));
      rows.sort((a, b) => {
        const order = compareValues(a.value, b.value);
        if (order === null) return (a.value === null) - (b.value === null);
        return down ? -order : order;
      });
      body.append(...rows.map((entry) => entry.row));
    });
  });
}
