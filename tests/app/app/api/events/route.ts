import { setTimeout } from "node:timers/promises";

export const dynamic = "force-dynamic";

/** Server-Sent Events: `?count=` ticks (5), one every `?every=` ms (200). */
export function GET(request: Request) {
  const { searchParams } = new URL(request.url);
  const count = bounded(searchParams.get("count"), 5, 10_000);
  const every = bounded(searchParams.get("every"), 200, 60_000);
  const encoder = new TextEncoder();

  let tick = 0;
  const stream = new ReadableStream({
    async pull(controller) {
      if (tick > 0) await setTimeout(every);
      if (request.signal.aborted) return controller.close();
      if (tick++ < count) {
        const data = JSON.stringify({ tick, at: Date.now() });
        controller.enqueue(encoder.encode(`id: ${tick}\nevent: tick\ndata: ${data}\n\n`));
      } else {
        controller.enqueue(encoder.encode("event: done\ndata: {}\n\n"));
        controller.close();
      }
    },
  });

  return new Response(stream, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}

function bounded(given: string | null, otherwise: number, most: number): number {
  const number = Number(given ?? otherwise);
  return Number.isInteger(number) && number >= 0 ? Math.min(number, most) : otherwise;
}
