/** A route for callbacks as the Pages Router has it: it is run by any method. Says what it was asked with. */
export default function handler(request, response) {
  response.json({ ran: true, callback: request.headers["x-doorway-callback"] ?? null });
}
