async function satisfies(version: string, range: string): Promise<boolean> {
  const query = new URLSearchParams({ version, range });
  const response = await fetch(`/satisfies?${query}`);
  const answer: { satisfies: boolean } = await response.json();
  return answer.satisfies;
}

const form = document.querySelector("form")!;
const output = document.querySelector("output")!;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const fits = await satisfies(
    String(data.get("version")),
    String(data.get("range")),
  );
  output.value = fits ? "yes" : "no";
});
