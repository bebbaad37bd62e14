/** Has `/kept-pages` made anew. */
export default async function handler(request, response) {
  await response.revalidate("/kept-pages");
  response.json({ by: "pages" });
}
