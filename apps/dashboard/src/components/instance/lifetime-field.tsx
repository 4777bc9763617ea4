import { Button } from "../ui/button.tsx";
import { Field } from "../ui/field.tsx";

const presets = [
  { minutes: 15, text: "15 min" },
  { minutes: 60, text: "1 hour" },
  { minutes: 240, text: "4 hours" },
  { minutes: 480, text: "8 hours" },
  { minutes: 1_440, text: "24 hours" },
];

/** What one call of the API grants at most, however it is asked. */
export const longestMinutes = 1_440;

interface LifetimeFieldProps {
  label: string;
  hint: string;
  /** As it was typed. */
  minutes: string;
  onChange: (minutes: string) => void;
  problem: string | undefined;
  /** @default 1 */
  min?: number;
  /** @default longestMinutes */
  max?: number;
}

/** A number of minutes, with those that people mostly want one press away. */
export function LifetimeField({
  minutes,
  onChange,
  min = 1,
  max = longestMinutes,
  ...field
}: LifetimeFieldProps) {
  return (
    <div className="grid content-start gap-3">
      <Field
        {...field}
        type="number"
        inputMode="numeric"
        min={min}
        max={max}
        step={1}
        required
        value={minutes}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
      <div role="group" aria-label="Common lifetimes" className="flex flex-wrap gap-2 empty:hidden">
        {presets
          .filter((preset) => preset.minutes >= min && preset.minutes <= max)
          .map((preset) => (
            <Button
              key={preset.minutes}
              className="aria-pressed:border-accent aria-pressed:text-accent min-h-8 px-3"
              aria-pressed={minutes === String(preset.minutes)}
              onClick={() => onChange(String(preset.minutes))}
            >
              {preset.text}
            </Button>
          ))}
      </div>
    </div>
  );
}
