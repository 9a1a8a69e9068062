"""Points, tiers and rules: what members of a programme have, and how they come by it.

| module     | what                                                                   |
|------------|------------------------------------------------------------------------|
| `compiled` | programmes and rules as a plan keeps them                              |
| `compile`  | from definitions to these                                              |
| `formula`  | points from the attributes of an interaction, in whole numbers         |
| `account`  | a member and the ledger: every change of a balance is made here        |
| `tiers`    | reaching, reviewing and losing a tier                                  |
| `clock`    | what time alone does: points come free, points expire, reviews         |
| `earn`     | rules looked at for an interaction                                     |
| `budget`   | what a rule gives all members together at most                         |
| `late`     | what a rule gives for the past                                         |
| `review`   | awards that were put aside, approved or refused                        |
| `refund`   | orders that are taken back                                             |
| `members`  | enrolling, leaving, spending, adjusting                                |
| `transfer` | points that a member gives to another                                  |
| `coupons`  | rewards issued as coupons, reserved, redeemed, reopened                |
| `join`     | two members are found to be one; a member is erased                    |
"""
