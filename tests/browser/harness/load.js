// Steady traffic from outside the browser, counting what fails.
import { Agent, get } from "node:https";

/** Asks `origin + path` over and over, `kept` loops on kept connections and `fresh` ones on new connections each time. */
export function requests(origin, path, { kept = 3, fresh = 2 } = {}) {
  const failures = [];
  let answered = 0;
  let stopped = false;

  async function loop(agent) {
    while (!stopped) {
      try {
        const status = await ask(origin + path, agent);
        if (status === 200) answered++;
        else failures.push(`status ${status}`);
      } catch (error) {
        failures.push(String(error));
        if (failures.length > 20) return;
      }
    }
    agent.destroy();
  }

  const loops = [
    ...Array.from({ length: kept }, () => loop(new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false }))),
    ...Array.from({ length: fresh }, () => loop(new Agent({ keepAlive: false, maxCachedSessions: 0, rejectUnauthorized: false }))),
  ];
  return {
    get answered() {
      return answered;
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
      return { answered, failures };
    },
  };
}

function ask(url, agent) {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.on("error", reject);
      response.on("end", () => resolve(response.statusCode));
      response.resume();
    }).on("error", reject);
  });
}
