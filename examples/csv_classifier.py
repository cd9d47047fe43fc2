"""Train a classifier on your own CSV file, test it, save it, and ask it about new rows.

    csv_classifier.py FILE --target COLUMN        train, test and save
    csv_classifier.py --predict NEW.csv           ask the model that was saved
    csv_classifier.py                             both, on students that are made up

FILE has a header, and numbers, categories and gaps below it; COLUMN holds the classes."""

from __future__ import annotations

import csv
from pathlib import Path
from textwrap import shorten

import chainrule as cr
from chainrule import inspection, plots, tables
from chainrule.examples import made_up_students, options, picture


def train(arguments) -> float:
    """Train, test and save; return the accuracy on the test rows."""
    table = tables.read_csv(arguments.file)
    rows, labels, classes = tables.take_classes(table, arguments.target)
    parts = cr.split(rows, labels, shares=(0.7, 0.15, 0.15), stratify=labels, seed=arguments.seed)
    encoder = tables.TableEncoder(tables.column_kinds(rows)).fit(parts[0][0])  # training rows alone
    (x, y), validation, (x_test, y_test) = [(encoder.encode(part), y) for part, y in parts]
    print(f"{arguments.file}: {len(rows)} rows, and {len(table) - len(rows)} without a class")
    print(f"{len(x)} to train, {len(validation[0])} to validate, {len(x_test)} to test")
    for name, reason in encoder.dropped.items():
        print(f"The column {name!r} is left out: {reason}.")
    alike = [c for c in classes if [d.casefold() for d in classes].count(c.casefold()) > 1]
    if alike:
        print(f"Only capitals tell these classes apart: {', '.join(map(repr, alike))}.")
    print(f"{x.shape[1]} features: {shorten(', '.join(encoder.feature_names), 80)}")
    arguments.model.parent.mkdir(parents=True, exist_ok=True)  # fails before the work, if it does
    d = x.shape[1]
    model = cr.Model(cr.Standardizer(d), cr.Dense(d, 64), cr.ReLU(), cr.Dropout(0.2),
                     cr.Dense(64, len(classes)), seed=arguments.seed, dtype="float64")  # fmt: skip
    model.layers[0].fit(x)
    stopping = cr.EarlyStopping(patience=20)
    model.fit(x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=cr.Adam(lr=0.003),
              epochs=60 if arguments.quick else 300, validation_data=validation,
              callbacks=[stopping])  # fmt: skip
    counts = inspection.confusion_matrix(model.predict(x_test), y_test, classes=len(classes))
    print("\nThe test rows, true classes by row, predicted ones by column:")
    print(tables.class_report(counts, classes))
    accuracy, rows_of = counts.trace() / counts.sum(), counts.sum(axis=1)
    print(f"Test accuracy {accuracy:.1%}")
    print(f"Always saying {classes[rows_of.argmax()]!r} gives {rows_of.max() / len(x_test):.1%}\n")
    if not rows_of.all():
        none = ", ".join(repr(name) for name, n in zip(classes, rows_of, strict=True) if not n)
        print(f"No test row is of {none}: how those do is not known.\n")
    model.metadata = {"encoder": encoder.to_dict(), "classes": classes}
    model.save(arguments.model)
    print(f"The model is {arguments.model}.")

    def draw() -> object:
        import matplotlib.pyplot as plt

        side = min(max(4.4, 2 + 0.2 * len(classes)), 20)
        figure, (left, right) = plt.subplots(1, 2, figsize=(2.5 * side, side), layout="constrained")
        plots.training_curves(model.history, ax=left, stop=stopping.best_epoch)
        left.set(ylabel="cross entropy (nats)", title="Training")
        plots.confusion_matrix(counts, ax=right, names=classes)
        right.set_title("Test rows")
        return figure

    picture(draw, "csv_classifier", arguments)
    return accuracy


def predict(path: Path, new: Path, out: Path) -> None:
    """Ask a saved model about the rows of another file."""
    model, rows = cr.Model.load(path), tables.read_csv(new)
    if model.metadata.keys() != {"encoder", "classes"}:
        raise ValueError(f"{path} is a model, but not one of this script's.")
    encoder = tables.TableEncoder.from_dict(model.metadata["encoder"])
    p, classes = cr.softmax(model.predict(encoder.encode(rows))), model.metadata["classes"]
    for name, texts in encoder.unseen(rows).items():
        print(f"Training had no {name!r} of {', '.join(map(repr, texts))}.")
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "predicted class", "probability"])
        for i, (row, guess) in enumerate(zip(rows, p.argmax(axis=1), strict=True)):
            writer.writerow([*row.values(), classes[guess], f"{p[i, guess]:.4f}"])
            if i < 10:
                print(f"row {i + 1}: {classes[guess]}, probability {p[i, guess]:.2f}")
    print(f"All {len(rows)} predictions are in {out / 'predictions.csv'}.")


def main() -> None:
    def own(parser):
        parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="rows to learn from")
        parser.add_argument("--target", metavar="COLUMN", help="the column with the classes")
        parser.add_argument("--predict", type=Path, metavar="NEW.csv", help="rows to classify")
        parser.add_argument("--model", type=Path, help="where it is saved (OUT/csv_classifier.npz)")

    arguments = options(__doc__, own=own)
    arguments.model = arguments.model or arguments.out / "csv_classifier.npz"
    made_up = not (arguments.file or arguments.target or arguments.predict)
    if made_up:
        print("These students are made up; for a file of yours: ... FILE --target COLUMN")
        arguments.file, arguments.predict = made_up_students(arguments.out, arguments.seed)
        arguments.target = "grade"
    elif arguments.target and not arguments.file:
        raise SystemExit("--target is a column of FILE, and there is no FILE.")
    if arguments.file and not arguments.target:
        raise SystemExit(f"Which column of {arguments.file} holds the classes? --target COLUMN")
    accuracy = train(arguments) if arguments.file else 1.0
    if arguments.predict:
        predict(arguments.model, arguments.predict, arguments.out)
    if made_up and accuracy < 0.75:  # of others' files nothing can be promised
        raise SystemExit("That is less than a right network reaches (75 % at least).")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        raise SystemExit(f"{error.filename or 'The output'}: {error.strerror}.") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
