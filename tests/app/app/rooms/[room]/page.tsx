import { redirect } from "next/navigation";
import { Suspense } from "react";
import { signedIn } from "@/lib/session";
import { Room } from "./room";

type Props = { params: Promise<{ room: string }> };

export default function RoomPage({ params }: Props) {
  return (
    <Suspense>
      <SignedIn params={params} />
    </Suspense>
  );
}

async function SignedIn({ params }: Props) {
  const { room } = await params;
  const name = await signedIn();
  if (!name) redirect("/sign-in");
  return (
    <>
      <h1>Room {room}</h1>
      <p>You are {name}.</p>
      <Room room={room} />
    </>
  );
}
