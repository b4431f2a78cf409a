// What is shown, as a file.

interface Props {
  url: (format: string) => string;
  formats?: string[];
}

export function Exports({ url, formats = ["csv", "json", "ndjson", "parquet"] }: Props) {
  return (
    <p class="row" aria-label="Download" role="group">
      <span class="quiet">Download</span>
      {formats.map((format) => (
        <a key={format} class="button" href={url(format)} download>
          {format.toUpperCase()}
        </a>
      ))}
    </p>
  );
}
