"use client";

import { useEffect, useState } from "react";

type Tick = { tick: number; at: number; seen: number };

export function Ticks() {
  const [ticks, setTicks] = useState<Tick[]>([]);
  const [done, setDone] = useState(false);

  useEffect(() => {
    const source = new EventSource("/api/events");
    source.addEventListener("tick", (event) => {
      const tick = JSON.parse(event.data) as Omit<Tick, "seen">;
      setTicks((before) => [...before, { ...tick, seen: Date.now() }]);
    });
    source.addEventListener("done", () => {
      source.close();
      setDone(true);
    });
    return () => source.close();
  }, []);

  return (
    <>
      <ol>
        {ticks.map(({ tick, at, seen }) => (
          <li key={tick} data-late={seen - at}>
            tick {tick}
          </li>
        ))}
      </ol>
      {done && <p id="done">that was all</p>}
    </>
  );
}
