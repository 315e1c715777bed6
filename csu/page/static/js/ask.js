// A question to a unit by a command, and its answer when it comes.

import { post } from "./api.js";
import { operatorName } from "./dialogs.js";
import { changed } from "./store.js";

const FINAL = new Set(["done", "failed", "rejected", "cancelled", "expired"]);

export const isFinal = (command) => FINAL.has(command?.state);

export class Question {
  #id = null;
  #early = new Map();

  /** `onAnswer(command)` is told how it ended. */
  constructor(unitId, cmd, lifetimeS, onAnswer = () => undefined) {
    Object.assign(this, { unitId, cmd, lifetimeS, onAnswer });
    this.command = null;
    this.error = null;
    this.busy = false;
  }

  /** Asks; nothing happens when nobody says who asks. */
  async ask(params = {}) {
    const operator = await operatorName();
    if (!operator || this.busy) return;
    Object.assign(this, { busy: true, error: null, command: null });
    this.#id = null;
    this.#early.clear();
    changed();
    try {
      const body = { unit_id: this.unitId, cmd: this.cmd, params, operator, lifetime_s: this.lifetimeS };
      const command = await post("/v1/commands", body);
      this.#id = command.command_id;
      this.hear(this.#early.get(command.command_id) ?? command);
    } catch (error) {
      Object.assign(this, { busy: false, error });
    }
    changed();
  }

  /** A command that the stream told of; one may be answered before the service has said under which id it was given. */
  hear(command) {
    if (!this.busy) return;
    if (!this.#id) this.#early.set(command.command_id, command);
    if (command.command_id !== this.#id) return;
    this.command = command;
    if (!isFinal(command)) return;
    this.busy = false;
    this.onAnswer(command);
  }
}
