"""What is wrong with the answers to cases, which many processes have given."""

import dataclasses

from tf_dwbp.fuzz.case import Case
from tf_dwbp.fuzz.pool import DIES, HANGS, Job, Setting
from tf_dwbp.fuzz.ways import Ways

WRONG, INCONSISTENT, DIFFERS, REFUSES = "wrong", "inconsistent", "differs", "refuses"
ELSEWHERE = "elsewhere"  # than on the device that was asked for
# Of calls that are not valid.
ACCEPTS, UNCLEAR = "accepts", "unclear"
# The worst first.
VERDICTS = (DIES, HANGS, WRONG, ELSEWHERE, INCONSISTENT, DIFFERS, REFUSES, ACCEPTS, UNCLEAR)


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something wrong with a case, and the ways that show it."""

    verdict: str
    message: str
    ways: Ways


def worst(findings: list[Finding]) -> Finding | None:
    return min(findings, key=lambda f: VERDICTS.index(f.verdict)) if findings else None


def of_job(job: Job) -> dict[int, list[Finding]]:
    """What the answers of one worker show by themselves, by the case's number in the job."""
    found = {}
    for answer in job.answers:
        ways = _ways(job.setting, answer["execution"])
        if "verdict" in answer:  # of a call that is not valid
            wrong = [(answer["verdict"], answer["text"])]
        else:
            wrong = [
                (REFUSES, answer["refusal"]),
                (ELSEWHERE, answer["elsewhere"]),
                (WRONG, answer["fault"]),
                (INCONSISTENT, answer.get("inconsistent")),  # a relation between calls
            ]
        for verdict, message in wrong:
            if message and verdict:
                found.setdefault(answer["case"], []).append(Finding(verdict, message, ways))
    if job.casualty and len(job.cases) == 1:
        verdict, evidence = job.casualty
        executions = [e for e in job.executions if e not in {a["execution"] for a in job.answers}]
        for execution in executions[:1]:  # in the course of which it died
            finding = Finding(verdict, evidence, _ways(job.setting, execution))
            found.setdefault(0, []).append(finding)
    return found


def differences(case: Case, answers: list[tuple[Setting, dict]]) -> list[Finding]:
    """Whether calls of one case that must lead to the same bits have led to others."""
    first = {}
    for setting, answer in answers:
        # Without fused multiply-add there is more rounding, unless all is exact.
        fused = setting.isa != "baseline" or case.exact
        # Each implementation adds in an order of its own.
        kind = fused, None if case.exact else setting.implementation
        for digest in answer.get("digests", ()):
            seen, where, execution = first.setdefault(kind, (digest, setting, answer["execution"]))
            if digest != seen:
                ways = Ways(
                    tuple(dict.fromkeys([where.isa, setting.isa])),
                    tuple(dict.fromkeys([where.threads, setting.threads])),
                    tuple(dict.fromkeys([execution, answer["execution"]])),
                    tuple(dict.fromkeys([where.implementation, setting.implementation])),
                )
                there = f"{setting}, {answer['execution']}"
                here = f"{where}, {execution}"
                message = f"{there}: not the bits of {here}"
                if there == here:
                    message = f"repeats: {there}: not the bits of an earlier call"
                return [Finding(DIFFERS, message, ways)]
    return []


def _ways(setting, execution):
    return Ways((setting.isa,), (setting.threads,), (execution,), (setting.implementation,))
