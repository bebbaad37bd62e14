"use client";

import { useRouter } from "next/navigation";
import { useEffect } from "react";

export function Revalidated() {
  const router = useRouter();
  useEffect(() => {
    const events = new EventSource("/api/ws/doorway:revalidated");
    events.onmessage = () => router.refresh();
    return () => events.close();
  }, [router]);
  return null;
}
