// Has Liveblocks' library say nothing of lines that are lost: here they are lost all the time. What it says of changes is kept.
export const said = [];

for (const level of ["warn", "error"]) {
  const say = console[level];
  console[level] = (...words) => {
    if (/^Connection to Liveblocks|^Cannot send: WebSocket no longer open/.test(words[0])) return;
    if (/^LiveText|^Storage mutation/.test(words[0])) said.push(words.join(" "));
    else say.apply(console, words);
  };
}
