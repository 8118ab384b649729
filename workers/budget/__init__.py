"""Requests and tokens a minute, shared by all workers of all hosts through Redis: one budget per (account, model).

    charge     what the provider will charge for a call
    line       the waiters of one process; its head asks for many at once
    shared     the conversation with Redis: two scripts, server time only
    budget     what the grader holds: reserve, settle, give back
    view       limit, used, waiting and refusals per model, for people and for the feeder

The rules live in the scripts (bucket.lua, reserve.lua, settle.lua), so that they are applied in one place at one time.
Nothing here knows jobs, prompts or the provider's client.
"""
