import { Webhook } from "standardwebhooks";
import { Server } from "@/lib/socket-io";

const io = new Server();

io.use((socket, next) => next(socket.handshake.query.refuse ? new Error("not today") : undefined));

io.on("connection", (socket) => {
  socket.on("enter", (name, room, ack) => {
    socket.data.name = name;
    socket.data.room = room;
    socket.join(room);
    io.to(room).emit("notice", `${name} joins ${room}`);
    ack(socket.id);
  });

  socket.on("say", (text, ack) => {
    const { name, room } = socket.data;
    socket.to(room).emit("said", { from: name, text });
    ack(Date.now());
  });

  socket.on("show", (picture: Buffer, ack) => {
    const { name, room } = socket.data;
    socket.to(room).emit("shown", name, picture);
    ack(picture.length);
  });

  socket.on("leave", (ack) => {
    const { name, room } = socket.data;
    socket.leave(room);
    io.to(room).emit("notice", `${name} leaves ${room}`);
    ack();
  });

  socket.on("disconnect", (reason) => {
    const { name, room } = socket.data;
    if (name) io.to(room).emit("notice", `${name} is gone: ${reason}`);
  });
});

const webhook = () => new Webhook(process.env.DOORWAY_WEBHOOK_SECRET!);

/** Doorway asks here; nobody else may. */
export const POST = io.handler((body, headers) => webhook().verify(body, Object.fromEntries(headers)));
