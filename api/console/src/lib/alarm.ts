// What a new critical alert does beyond the page: a tone, and the system's notification while the
// page is hidden, if the reader wants them.
import type { Preferences } from "./preferences";

let audio: AudioContext | null = null;

/** Two short tones. Browsers allow sound only after the page was used once; else it stays silent. */
export function ring(): void {
  audio ??= new AudioContext();
  const start = audio.currentTime;
  for (const [i, frequency] of [880, 660].entries()) {
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.15, start + i * 0.2);
    volume.gain.exponentialRampToValueAtTime(0.001, start + i * 0.2 + 0.18);
    tone.connect(volume).connect(audio.destination);
    tone.start(start + i * 0.2);
    tone.stop(start + i * 0.2 + 0.2);
  }
}

/** Tells of alarms as the reader prefers. */
export function alarm(text: string, { sound, notifications }: Preferences): void {
  if (sound) ring();
  if (notifications && document.hidden && globalThis.Notification?.permission === "granted") {
    new Notification("Bellwire", { body: text, tag: "bellwire-alarm" });
  }
}

/** Whether notifications are allowed; asks if nobody has been asked. */
export async function mayNotify(): Promise<boolean> {
  if (globalThis.Notification === undefined) return false;
  return (await Notification.requestPermission()) === "granted";
}
