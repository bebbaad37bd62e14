"use client";

import { useState } from "react";

/** Counts only once React has taken the page over: the shortest proof of hydration. */
export function Counter() {
  const [count, setCount] = useState(0);
  return (
    <button id="counter" onClick={() => setCount(count + 1)}>
      clicked {count} times
    </button>
  );
}
