import type { Metadata } from "next";
import { Upload } from "./upload";

export const metadata: Metadata = { title: "Upload" };

export default function UploadPage() {
  return (
    <>
      <h1>Upload</h1>
      <Upload />
    </>
  );
}
