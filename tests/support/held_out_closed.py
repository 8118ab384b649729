"""The closed systems' downloads, beside `held_out_downloads`, and all of them together.

*Source*: the public scripts that rename these downloads. Gradescope: keys of `submission_metadata.yml` that are folders
or PDF files. Blackboard: receipts and `<Assignment>_<user>_attempt_<time>`. Brightspace: `<id>-<id> - <Name> - <date>`.
"""

from __future__ import annotations

from tests.support.held_out_downloads import OPEN_SYSTEMS, HeldOut, Maker


def gradescope(seed: int) -> HeldOut:
    """Folders of a programming assignment, or the PDF files of a scanned one, beside the list of the class."""
    maker = Maker("gradescope", seed)
    random, made = maker.random, maker.made
    outer = f"assignment_{random.randrange(10**6)}_export/" if random.random() < 0.7 else ""
    are_files = random.random() < 0.35
    lines, numbers = ["---"], maker.numbers(10**6, 10**8)
    for at, (given, family) in enumerate(maker.people()):
        number = str(numbers[at])
        size = 3 if at % 11 == 0 else 1
        people = [(f"{given} {family}", f"{seed}p{at}m{member}") for member in range(size)]
        has_email = at != 4
        key = f"{number}.txt" if are_files else f"submission_{number}"
        lines += [f"{key}:", "  :submitters:"]
        for name, login in people:
            lines += [f"  - :name: {_yaml(name)}", f"    :sid: '00{login}'"]
            lines += [f"    :email: {login}@uni.example"] if has_email else ["    :email: "]
        lines += ["  :created_at: 2026-10-03 22:10:00.123456000 Z", "  :score: 3.5", "  :status: processed"]
        if at % 6 == 0:
            lines += ["  :history:", f"  - :id: {random.randrange(10**8)}", "    :created_at: 2026-10-01 09:00:00 Z"]
        login = people[0][1]
        student = number if size > 1 else (f"{login}@uni.example" if has_email else f"00{login}")
        if size == 1:
            made.names[student] = people[0][0]
        if are_files:
            maker.put(f"{outer}{key}", student)
        elif at == 9:
            made.members.append((f"{outer}{key}/.DS_Store", b"\x00"))
            maker.nothing_of(student)
        else:
            for _ in range(random.choice((1, 1, 2, 4))):
                maker.put(
                    outer + key + "/" + random.choice(("", "", "src/", "submission_9/")) + maker.file_name(), student
                )
    made.members.insert(
        random.randrange(len(made.members)), (f"{outer}submission_metadata.yml", "\n".join(lines).encode())
    )
    made.never |= {"@uni.example", ":submitters"}
    return made


def _yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def blackboard(seed: int) -> HeldOut:
    """Files and receipts, several attempts, texts in the receipt, users that share a beginning."""
    maker = Maker("blackboard", seed)
    random, made = maker.random, maker.made
    assignment = random.choice(("Week 3", "Lab_2_Part_1", "Final Project (Group)", "3", "Übung_attempt 1"))
    shape = random.choice(("s{:07d}", "user_{:03d}", "ab{:02d}.cd", "{:05d}", "ü_{:d}@uni.example"))
    for at, (given, family) in enumerate(maker.people()):
        user = shape.format(at * 7 + 1)
        made.names[user] = f"{given} {family}"
        times = [f"2026-10-0{day}-0{random.randrange(10)}-15-00" for day in sorted(random.sample(range(1, 9), 3))]
        times = times[: random.choice((1, 1, 1, 2, 3))]
        for time in times:
            newest = user if time == times[-1] else None
            stem = f"{assignment}_{user}_attempt_{time}"
            files = [maker.file_name() for _ in range(random.choice((0, 1, 1, 2)))]
            has_text = not files or random.random() < 0.3
            text = "There is no student submission text data for this assignment."
            if has_text:
                first, second = maker.token(), maker.token()
                (made.expected.setdefault(user, set()) if newest else made.never).update({first, second})
                middle = random.choice(("", "\r\nComments:\r\n", "\r\nFiles:\r\n", "\r\nName: x (y)\r\n"))
                text = f"<p>{first}</p>{middle}<p>{second}</p>"
            listing = "\tNo files were attached to this submission.\r\n"
            if files:
                entries = (f"\tOriginal filename: {name}\r\n\tFilename: {stem}_{name}\r\n" for name in files)
                listing = "\r\n".join(entries)
            field = random.choice(("Submission Field:\r\n", "Submission Field: <br>\r\n", "Submission Field: <br>"))
            receipt = (
                f"Name: {given} {family} ({user})\r\nAssignment: {assignment}\r\n"
                "Date Submitted: Friday, 2 October 2026 09:15:00 o'clock BST\r\nCurrent Mark: Needs Marking\r\n\r\n"
                f"{field}{text}\r\n\r\nComments:\r\n"
                f"There are no student comments for this assignment.\r\n\r\nFiles:\r\n{listing}"
            )
            made.members.append((f"{stem}.txt", receipt.encode()))
            for name in files:
                maker.put(f"{stem}_{name}", newest)
    made.never |= {"Needs Marking"}
    return made


def brightspace(seed: int) -> HeldOut:
    """Folders or prefixes, the dates of several locales, several attempts of one day."""
    maker = Maker("brightspace", seed)
    random, made = maker.random, maker.made
    is_flat, second_is_student = random.random() < 0.4, random.random() < 0.3
    moments = random.choice(
        (
            ("Sep 24, 2026 115 PM", "Sep 24, 2026 300 PM", "Sep 24, 2026 1105 PM"),
            ("Oct 9, 2026 1148 PM", "Oct 10, 2026 905 AM", "Nov 2, 2026 1201 AM"),
            ("24 September, 2026 905", "24 September, 2026 2126", "3 October, 2026 001"),
            ("2026-09-24 0905", "2026-09-24 2126", "2026-10-03 0101"),
        )
    )
    numbers = maker.numbers(10**5, 10**7)
    for at, (given, family) in enumerate(maker.people()):
        number = str(numbers[at])
        name = random.choice((f"{given} {family}", f"{given} {family}", f".{given} {family}", f"{given} - {family}"))
        made.names[number] = name
        ids = f"2557369-{number}" if second_is_student else f"{number}-2557369"
        tried = sorted(random.sample(range(3), random.choice((1, 1, 2, 3))))
        for which in tried:
            student = number if which == tried[-1] else None
            joint = " - " if is_flat else "/"
            for _ in range(random.choice((1, 1, 2))):
                maker.put(f"{ids} - {name} - {moments[which]}{joint}{maker.file_name()}", student)
    made.members.append(("index.html", b"<p>list-of-the-class</p>"))
    made.never.add("list-of-the-class")
    return made


SYSTEMS = {**OPEN_SYSTEMS, "gradescope": gradescope, "blackboard": blackboard, "brightspace": brightspace}
