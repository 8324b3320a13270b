// A button to copy each snippet; the page is complete without.
for (const snippet of document.querySelectorAll("pre")) {
  const text = snippet.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    button.addEventListener("blur", () => (button.textContent = "Copy"), { once: true });
  });
  // Only over HTTPS and on this machine can a page write to the clipboard.
  if (navigator.clipboard) snippet.append(button);
}

// Who was led to a continent wants to know how to open it.
function unfold() {
  const details = location.hash && document.getElementById(location.hash.slice(1))?.querySelector("details");
  if (details) details.open = true;
}
addEventListener("hashchange", unfold);
unfold();
