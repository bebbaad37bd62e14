import { index, route } from "@react-router/dev/routes";

export default [
  index("home.tsx"),
  route("room", "room-page.tsx"),
  route("form", "form.tsx"),
  route("api/process", "process.ts"),
];
