import type { Metadata } from "next";
import Image from "next/image";
import door from "./door.png";

export const metadata: Metadata = { title: "Image" };

export default function ImagePage() {
  return (
    <>
      <h1>next/image</h1>
      <Image src={door} alt="A door in a wall" preload placeholder="blur" />
    </>
  );
}
