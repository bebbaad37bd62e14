const board = globalThis as typeof globalThis & { notice?: string };

export function said() {
  return board.notice ?? "Nothing yet";
}

export function hang(text: string) {
  board.notice = text;
}
