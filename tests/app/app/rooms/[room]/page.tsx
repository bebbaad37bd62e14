import { redirect } from "next/navigation";
import { signedIn } from "@/lib/session";
import { Room } from "./room";

export default async function RoomPage({ params }: { params: Promise<{ room: string }> }) {
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
