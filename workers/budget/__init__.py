"""Requests and tokens per minute, shared by all workers of all hosts through Redis: one budget per (account, model).

    charge       what the provider will charge for a call
    wait_queue   the waiters of one process; one script call asks for many of them
    shared       the two scripts in Redis; server time only
    budget       what the grader uses: reserve, settle, give back
    view         limit, used, waiting and refusals per model, for people and for the feeder
    refusals     refusals counted per account across workers, in Redis
    outage       distinguishes an outage of the provider from a job that fails by itself; one process, in memory

The rules are in the scripts, so that they are applied in one place, atomically:

    bucket.lua   the model of the provider's two buckets, requests and tokens; holds
    flight.lua   calls in flight at a server that names no limits
    reserve.lua  grants for the waiters of one process
    settle.lua   corrections from responses, and unused grants taken back

Knows no jobs, no prompts and no provider client.
"""
