// The chat page, as a person uses it.
export async function openChat(page) {
  await page.goto("/chat");
  await page.locator("#status", { hasText: "open" }).waitFor();
}

export async function say(page, text) {
  await page.getByLabel("message").fill(text);
  await page.getByRole("button", { name: "send" }).click();
}

export async function heard(page, type, text) {
  await page.locator(`li[data-type=${type}]`, { hasText: text }).waitFor();
}
