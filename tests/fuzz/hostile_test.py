"""Whatever a target does to the process that calls it, each case gets its verdict."""

import sys

import pytest

import hostile
from tf_dwbp.fuzz import findings
from tf_dwbp.fuzz.case import INTEGERS, Case
from tf_dwbp.fuzz.pool import Job, Pool, Setting
from tf_dwbp.tools import targets

pytestmark = pytest.mark.usefixtures("support_for_workers")


def test_each_case_gets_its_verdict():
    setting = Setting(None, 1)
    pool = Pool("hostile:hostile", 20, [setting])
    try:
        jobs = {}
        for name in hostile.NAMES:
            case = Case(hostile.problem_of(name), INTEGERS, 1)
            job = Job(setting, [case.to_json()], [targets.EAGER], repeats=1, judge=True)
            jobs[name] = pool.submit(job)
        pool.finish(list(jobs.values()))
    finally:
        pool.close()
    for name, job in jobs.items():
        verdict, evidence = hostile.EXPECTED[name]
        found = findings.worst(findings.of_job(job).get(0, []))
        assert (found.verdict if found else hostile.AGREES) == verdict, (name, found)
        if found:
            assert evidence.partition(" [")[0] in found.message, (name, found)
            assert "Traceback" not in found.message, name
    assert not hostile.left_behind()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
