"use client";

import { useState, type ChangeEvent } from "react";

type Received = { size: number; sha256: string };

export function Upload() {
  const [received, setReceived] = useState<Received>();
  const [failure, setFailure] = useState<string>();

  async function upload(event: ChangeEvent<HTMLInputElement>) {
    const file = event.target.files?.[0];
    if (!file) return;
    setReceived(undefined);
    setFailure(undefined);
    try {
      const response = await fetch("/api/upload", { method: "POST", body: file });
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      setReceived((await response.json()) as Received);
    } catch (error) {
      setFailure(String(error));
    }
  }

  return (
    <>
      <input type="file" aria-label="file" onChange={upload} />
      {received && (
        <p id="received">
          {received.size} bytes, sha256 {received.sha256}
        </p>
      )}
      {failure && <p role="alert">{failure}</p>}
    </>
  );
}
