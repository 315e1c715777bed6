// A question to a unit by a command, and its answer when it comes.

import { post } from "./api.js";
import { operatorName } from "./dialogs.js";
import { changed } from "./store.js";

const FINAL = new Set(["done", "failed", "rejected", "cancelled", "expired"]);

export const isFinal = (command) => FINAL.has(command?.state);

export class Question {
  #id = null;

  constructor(unitId, cmd, lifetimeS) {
    this.unitId = unitId;
    this.cmd = cmd;
    this.lifetimeS = lifetimeS;
    this.command = null;
    this.error = null;
    this.busy = false;
  }

  /** Asks; nothing happens when nobody says who asks. */
  async ask(params = {}) {
    const operator = await operatorName();
    if (!operator || this.busy) return;
    Object.assign(this, { busy: true, error: null, command: null });
    changed();
    try {
      const body = { unit_id: this.unitId, cmd: this.cmd, params, operator, lifetime_s: this.lifetimeS };
      const command = await post("/v1/commands", body);
      this.#id = command.command_id;
      if (!this.command) this.hear(command);
    } catch (error) {
      Object.assign(this, { busy: false, error });
    }
    changed();
  }

  /** A command that the stream told of; true when it is the answer to this question. */
  hear(command) {
    if (command.command_id !== this.#id && !(this.busy && !this.#id && command.cmd === this.cmd)) return false;
    this.#id = command.command_id;
    this.command = command;
    this.busy = !isFinal(command);
    return isFinal(command);
  }
}
