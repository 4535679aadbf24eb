// Asks before something that cannot be taken back: `if (await confirm({ … })) …`.

export interface Question {
  title: string;
  /** What will happen, in one or two sentences. */
  text: string;
  /** The word on the button: `Remove`. */
  action: string;
  kind?: "danger" | "plain";
}

class Confirming {
  asked = $state.raw<Question | null>(null);
  #answer: (yes: boolean) => void = () => undefined;

  ask(question: Question): Promise<boolean> {
    this.answer(false);
    this.asked = question;
    return new Promise((resolve) => (this.#answer = resolve));
  }

  answer(yes: boolean): void {
    this.asked = null;
    this.#answer(yes);
    this.#answer = () => undefined;
  }
}

export const confirming = new Confirming();

/** True if the reader says yes. */
export const confirm = (question: Question): Promise<boolean> => confirming.ask(question);
